package agent

import (
	"crypto/sha256"
	"encoding/hex"
)

// Hash names a build of the agent's program, for the records of sandboxes.
func Hash(program []byte) string {
	sum := sha256.Sum256(program)
	return hex.EncodeToString(sum[:8])
}
