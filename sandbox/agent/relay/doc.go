// Package relay carries calls to an agent over nothing but the running of
// commands, as other people's sandboxes have it: each call runs the agent's
// program once more inside, with the request among its arguments, and reads the
// answer from its output.
//
// [Run] is the part inside. [Service] is the daemon's: it is what
// [agent.NewClientOver] wants.
//
// An answer is the word "answer" and the message, or the word "refused", a
// status code and a text; messages and texts are in base64, in lines. Deadlines
// are times of a clock that the two sides do not share: they travel as what is
// left.
package relay
