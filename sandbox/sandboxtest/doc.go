// Package sandboxtest helps to test backends and the code that uses them.
package sandboxtest
