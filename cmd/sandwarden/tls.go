package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// certificateCheck is how often the files of a certificate are looked at, at
// most: when a client connects.
const certificateCheck = 5 * time.Second

// A certificate is that of two files, read again when they change: those who
// renew it only have to replace them.
type certificate struct {
	certFile, keyFile string
	log               *slog.Logger

	mu      sync.Mutex
	current *tls.Certificate
	stamp   string    // of the files that current was read from
	failed  string    // stamp of files that could not be read; told once
	checked time.Time // when the files were last looked at
}

// openCertificate reads a certificate, which must be good.
func openCertificate(certFile, keyFile string, logger *slog.Logger) (*certificate, error) {
	c := &certificate{certFile: certFile, keyFile: keyFile, log: logger}
	return c, c.read()
}

// move reads other files, or the same again. When it fails, the certificate
// stays as it was.
func (c *certificate) move(certFile, keyFile string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := [2]string{c.certFile, c.keyFile}
	c.certFile, c.keyFile = certFile, keyFile
	err := c.read()
	if err != nil {
		c.certFile, c.keyFile = before[0], before[1]
	}
	return err
}

// read is called with the mutex held.
func (c *certificate) read() error {
	stamp, err := c.stampNow()
	if err != nil {
		return fmt.Errorf("the certificate for TLS cannot be read: %w", err)
	}
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		c.failed = stamp
		return fmt.Errorf("the certificate for TLS cannot be used: %w", err)
	}
	if pair.Leaf != nil && time.Now().After(pair.Leaf.NotAfter) {
		c.log.Warn("the certificate for TLS has expired", "at", pair.Leaf.NotAfter.Format(time.RFC3339))
	}
	c.current, c.stamp, c.failed = &pair, stamp, ""
	return nil
}

// stampNow tells files that differ apart.
func (c *certificate) stampNow() (string, error) {
	cert, err1 := os.Stat(c.certFile)
	key, err2 := os.Stat(c.keyFile)
	if err := errors.Join(err1, err2); err != nil {
		return "", err
	}
	return fmt.Sprint(cert.ModTime().UnixNano(), cert.Size(), key.ModTime().UnixNano(), key.Size()), nil
}

// get is a [tls.Config]'s GetCertificate.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); now.Sub(c.checked) >= certificateCheck {
		c.checked = now
		c.refresh()
	}
	return c.current, nil
}

// refresh is called with the mutex held. Files that are being replaced may not
// fit together for a moment: then the old certificate serves on.
func (c *certificate) refresh() {
	stamp, err := c.stampNow()
	if err != nil || stamp == c.stamp || stamp == c.failed {
		return
	}
	if err := c.read(); err != nil {
		c.log.Error("failed to reload the certificate for TLS; the old one serves on", "err", err)
		return
	}
	c.log.Info("the certificate for TLS was reloaded")
}

// config is the TLS of the server.
func (c *certificate) config() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: c.get, NextProtos: []string{"h2", "http/1.1"}}
}
