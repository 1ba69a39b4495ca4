package agent

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"io"
)

// errHandshake says that the other side does not know the secret.
var errHandshake = errors.New("the other side does not know the session's secret")

// Greet is the daemon's side of the handshake: it shows that it knows the
// secret, and checks that the agent does too. The caller sets the deadline.
func Greet(conn io.ReadWriter, secret []byte) error {
	if _, err := conn.Write(proof(secret, "daemon")); err != nil {
		return err
	}
	return expect(conn, proof(secret, "agent"))
}

// Admit is the agent's side of the handshake.
func Admit(conn io.ReadWriter, secret []byte) error {
	if err := expect(conn, proof(secret, "daemon")); err != nil {
		return err
	}
	_, err := conn.Write(proof(secret, "agent"))
	return err
}

func expect(r io.Reader, want []byte) error {
	got := make([]byte, len(want))
	if _, err := io.ReadFull(r, got); err != nil {
		return err
	}
	if subtle.ConstantTimeCompare(got, want) != 1 {
		return errHandshake
	}
	return nil
}

func proof(secret []byte, who string) []byte {
	sum := sha256.Sum256(append([]byte(who+":"), secret...))
	return sum[:]
}
