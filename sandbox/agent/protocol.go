package agent

// Version is the protocol's version. It rises with each addition to one that
// was released, whose agent is recorded before: see the package's documentation.
const Version = 5

// MaxTransfers is how many operations on files a sandbox does at once.
const MaxTransfers = 8

// SecretSize is the length in bytes of a session's secret.
const SecretSize = 32
