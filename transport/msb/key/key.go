// Package key keeps the keys of the microsandbox API: who holds one may work in
// the namespace that it names. A key is a JWT, signed with the secret of the
// server, which stands in a file as servers of the v0.2 line have it.
package key

import (
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/sandwarden/sandwarden/sandbox"
)

// Prefix begins every key, as clients send it.
const Prefix = "msb_"

// Everywhere is the namespace of keys that are for all of them.
const Everywhere = "*"

// maxLength is more than any key of ours has.
const maxLength = 4096

// A Keeper makes keys and knows them again. Its methods may be called from many
// goroutines.
type Keeper struct {
	secret []byte
	parser *jwt.Parser
}

// Open reads the secret of a file, which it makes when it is not there. Kind
// Invalid: the file is not what is expected, and the Detail says why.
func Open(path string) (*Keeper, error) {
	secret, err := secretOf(path)
	if err != nil {
		return nil, err
	}
	return &Keeper{
		secret: secret,
		parser: jwt.NewParser( // no other algorithm, none of all
			jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}), jwt.WithExpirationRequired(), jwt.WithStrictDecoding(),
		),
	}, nil
}

// claims are what a key says. One without a namespace is of a server that has
// none, and is for all.
type claims struct {
	Namespace *string `json:"namespace,omitempty"`
	jwt.RegisteredClaims
}

// Namespace returns the namespace that a key is for, [Everywhere] for all, or
// why it is of no use. The key is without its prefix.
func (k *Keeper) Namespace(key string) (string, error) {
	if len(key) > maxLength {
		return "", errForeign
	}
	var c claims
	if _, err := k.parser.ParseWithClaims(key, &c, func(*jwt.Token) (any, error) { return k.secret, nil }); err != nil {
		return "", refusal(err)
	}
	if c.Namespace == nil {
		return Everywhere, nil
	}
	if !isNamespace(*c.Namespace) {
		return "", errors.New("the key is for a namespace that cannot be one")
	}
	return *c.Namespace, nil
}

var errForeign = errors.New("the key is not one of this server")

// refusal is why a key does not count, with nothing of the key in it.
func refusal(err error) error {
	switch {
	case errors.Is(err, jwt.ErrTokenSignatureInvalid), errors.Is(err, jwt.ErrTokenUnverifiable), errors.Is(err, jwt.ErrTokenMalformed):
		return errForeign
	case errors.Is(err, jwt.ErrTokenExpired):
		return errors.New("the key has expired")
	case errors.Is(err, jwt.ErrTokenRequiredClaimMissing):
		return errors.New("the key does not say when it expires")
	case errors.Is(err, jwt.ErrTokenNotValidYet):
		return errors.New("the key is not valid yet")
	}
	return errForeign
}

// New makes a key for a namespace, which none is [Everywhere]. It returns the
// key with its prefix, and when it ends.
func (k *Keeper) New(namespace string, life time.Duration, now time.Time) (key string, expires time.Time, err error) {
	if namespace == "" {
		namespace = Everywhere
	}
	err = CheckNamespace(namespace)
	switch {
	case err != nil:
		return "", time.Time{}, err
	case life < shortest || life > longest:
		return "", time.Time{}, invalid(fmt.Sprintf("a key cannot live for %s", life), "name a time from 1s to 100y")
	}
	expires = now.Add(life).Truncate(time.Second)
	c := claims{Namespace: &namespace, RegisteredClaims: jwt.RegisteredClaims{
		ExpiresAt: jwt.NewNumericDate(expires), IssuedAt: jwt.NewNumericDate(now),
	}}
	signed, err := jwt.NewWithClaims(jwt.SigningMethodHS256, c).SignedString(k.secret)
	if err != nil {
		return "", time.Time{}, fmt.Errorf("sign a key: %w", err)
	}
	return Prefix + signed, expires, nil
}

// CheckNamespace returns what is wrong with a namespace for keys.
func CheckNamespace(name string) error {
	if isNamespace(name) {
		return nil
	}
	return invalid(fmt.Sprintf("%.80q cannot name a namespace", name),
		"use 1 to 63 of the characters A-Z a-z 0-9 _ -, and begin with a letter or a digit; * is all namespaces")
}

// maxNamespace is the length of the longest name.
const maxNamespace = 63

// isNamespace reports whether a key may be for it.
func isNamespace(name string) bool {
	if name == Everywhere {
		return true
	}
	ok := name != "" && len(name) <= maxNamespace && name[0] != '_' && name[0] != '-'
	for _, c := range []byte(name) {
		ok = ok && (c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c == '-' || c == '_')
	}
	return ok
}

func invalid(detail, remedy string) error {
	return &sandbox.Error{Op: "key", Kind: sandbox.Invalid, Detail: detail, Remedy: remedy}
}
