package kernel_test

import (
	"strings"
	"testing"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
)

func TestNode_Cells(t *testing.T) {
	tests := map[string][]cell{
		"values and state": {
			{code: "const x = 40; x + 2", stdout: "42\n", result: "42", noStderr: true},
			{code: "_ + 1", stdout: "43\n"},
			{code: "let y = x", not: "40"},
			{code: "undefined", not: "undefined"},
			{code: "console.log('hi'); ({a: [x], b: y})", stdout: "hi\n{ a: [ 40 ], b: 40 }\n"},
			{code: "{a: 1}", stdout: "{ a: 1 }\n"},
			{code: "{ let q = 1; }", not: "1"},
			{code: "'text'", result: "'text'"},
			{code: "null", result: "null"},
			{code: "for (let i = 0; i < 3; i++) i", not: "2"},
			{code: "", noStderr: true},
			{code: "// nothing", noStderr: true},
			{code: "y;", result: "40"},
			{code: "#!/usr/bin/env node\nx", result: "40"},
			{code: "#!/usr/bin/env node\nawait x", result: "40"},
		},
		"names can be declared again": {
			{code: "const a = 1; let b = 2; var c = 3; class D { v() { return 4 } }; function e() { return 5 }\n[a, b, c, new D().v(), e()]", result: "[ 1, 2, 3, 4, 5 ]"},
			{code: "const e = 'e'; let a = 'a'; var b = 'b'; function D() { return 'd' }; class c {}\n[a, b, typeof c, D(), e].join()", result: "'a,b,function,d,e'"},
			{code: "let a, z; [a, z]", result: "[ undefined, undefined ]"},
			{code: "var b; b", result: "'b'"},
			{code: "const {p, q: [r, ...s], t = 7, ...u} = {p: 1, q: [2, 3, 4], w: 8}\n;[p, r, s, t, u]", result: "[ 1, 2, [ 3, 4 ], 7, { w: 8 } ]"},
			{code: "let i = 'out'; for (var j = 0, k = 1; j < 2; j++); for (var m in {x: 1}); for (var [n] of [[5]]) ;\n[i, j, k, m, n].join()", result: "'out,2,1,x,5'"},
			{code: "if (true) var v1 = 1; else var v2 = 2\nif (false) { var v3 = 3 }\n[v1, v2, v3]", result: "[ 1, undefined, undefined ]"},
			{code: "function f() { return g() } function g() { return 1 }\nf()", result: "1"},
			{code: "function g() { return 2 }", not: "function"},
			{code: "f()", result: "2"},
			{code: "const h = () => k2(); const k2 = () => 'old'; h()", result: "'old'"},
			{code: "const k2 = () => 'new'; h() + h.name", result: "'newh'"},
			{code: "let n1 = 0; const inc = () => ++n1; inc(); n1", result: "1"},
			{code: "inc(); n1", result: "2"},
		},
		"statements without semicolons": {
			{code: "let l = 1\nconst fn = function () { return l }\nlet m = fn()\nfn()\nlet o = [1, 2]\nfunction w() {}\n;[o, m].length", result: "2"},
			{code: "foo()\nfunction foo() { return 1 }\n(function () { console.log('called') })()", stdout: "called\n"},
			{code: "const t = `a${1 + 1}\nb${'`'}`\nconst re = /[/'`]\\/let x/g // const\n/* let */ t + re.source.length", result: "'a2\\nb`12'"},
			{code: "let q = 6\n++q", result: "7"},
			{code: "label: for (const a of [1]) { continue label }"},
			{code: "switch (1) { case 1: let z = 'in'; console.log(z) }", stdout: "in\n"},
			{code: "async function* ag() { yield 1 }\nfunction*  g() { yield 2 }\nfunction named(a, b) {}\n[ag.name, g.name, [...g()], named.length, named.name]", result: "[ 'ag', 'g', [ 2 ], 2, 'named' ]"},
			{code: "'use strict'\nfunction s() { return this }\ntypeof s()", result: "'undefined'"},
			{code: "typeof (function () { return this })()", result: "'object'"},
		},
		"constants stay": {
			{code: "const c = 1; try { c = 2 } catch (e) { console.log(e.name + ': ' + e.message) }; c", stdout: "TypeError: Assignment to constant variable.\n1\n"},
			{code: "const d = 1; d++", failure: "TypeError", message: "Assignment to constant variable."},
			{code: "const o = {}; ({o} = {o: 1})", failure: "TypeError"},
			{code: "const k = 1; { let k = 2; k = 3 }; (k => { k = 4 })(); k", result: "1"},
			{code: "let x = 1; let x = 2", failure: "SyntaxError", message: "Identifier 'x' has already been declared"},
		},
		"await": {
			{code: "const v = await Promise.resolve(5); v", result: "5"},
			{code: "v + await 1", result: "6"},
			{code: "await new Promise(r => setTimeout(r, 10)); console.log('after')", stdout: "after\n"},
			{code: "await 1\n// comment\nv.nosuch.x", failure: "TypeError", stderr: "at cell-4:3:10\n"},
			{code: "for await (const a of [1, Promise.resolve(2)]) console.log(a)", stdout: "1\n2\n"},
			{code: "function top() { return v * 2 }\nlet w = await top(), [z] = [await 3];\n[w, z]", result: "[ 10, 3 ]"},
			{code: "[w, z, top()]", result: "[ 10, 3, 10 ]"},
			{code: "Promise.resolve(1)", stdout: "Promise { 1 }\n"},
			{code: "await 0; Promise.resolve(2)", stdout: "Promise { 2 }\n"},
			{code: "async function main() { await 0; console.log('main') }\nmain()", stdout: "main\nPromise { undefined }\n"},
			{code: "new Promise(() => {})", stdout: "Promise { <pending> }\n"},
			{code: "await new Promise(() => {})", failure: "Error", message: "nothing is left to settle"},
			{code: "await Promise.reject(new RangeError('r'))", failure: "RangeError", message: "r", stderr: "Uncaught RangeError: r\n    at cell-13:1:22\n", not: "cell-13:2"},
			{code: "(async () => { throw new TypeError('late') })()", failure: "TypeError", stderr: "at cell-14:1:22"},
			{code: "const g = async () => await 5; await g();", result: "5"},
		},
		"modules": {
			{code: "const fs = require('fs'); const { join } = require('node:path'); typeof fs.readFileSync + join('a', 'b')", result: "'functiona/b'"},
			{code: "require.main === module", result: "true"},
			{code: "import os, { EOL as eol } from 'os'\nimport * as url from 'node:url'\n\nconsole.log(typeof os.cpus, eol === '\\n', typeof url.parse)", stdout: "function true function\n"},
			{code: "import {\n  basename,\n} from 'path'\nthrow new Error(basename('/x/y'))", failure: "Error", message: "y", stderr: "cell-4:4:7"},
			{code: "(await import('path')).sep", result: "'/'"},
			{code: "fs.writeFileSync('m.mjs', 'export const v = 3; export default 4'); fs.writeFileSync('c.js', 'module.exports = {c: 5}')"},
			{code: "import d, { v } from './m.mjs'; [d, v, require('./c').c, (await import('./c.js')).default.c]", result: "[ 4, 3, 5, 5 ]"},
			{code: "import('./m.mjs').then(m => console.log(m.v))", stdout: "3\nPromise { undefined }\n"},
			{code: "export const ex = 1; export default function dd() { return 2 }; export { ex as other }\n", noStderr: true},
			{code: "ex + dd()", result: "3"},
			{code: "require('nosuch')", failure: "Error", stderr: "Cannot find module 'nosuch'", not: "node.cjs"},
			{code: "__dirname === process.cwd()", result: "true"},
			{code: "const URL = 1, setTimeout = 2, process2 = globalThis.setTimeout; typeof globalThis.setTimeout", result: "'function'"},
			{code: "const console = require('nosuch')", failure: "Error"},
			{code: "console.log('still')", stdout: "still\n"},
		},
		"errors look as in Node": {
			{code: "function f() {\n  throw new Error('x')\n}\nf()", failure: "Error", message: "x", stderr: "Uncaught Error: x\n    at f (cell-1:2:9)\n    at cell-1:4:1\n", not: "node:"},
			{code: "nosuch", failure: "ReferenceError", message: "nosuch is not defined", stderr: "at cell-2:1:1", not: "node.cjs"},
			{code: "let a = 1;\nlet b = ;", failure: "SyntaxError", stderr: "cell-3:2\nlet b = ;\n        ^\n\nSyntaxError: Unexpected token"},
			{code: "foo(", failure: "SyntaxError"},
			{code: "throw 5", failure: "Error", message: "5", stderr: "Uncaught 5\n"},
			{code: "throw null", failure: "Error", stderr: "Uncaught null\n"},
			{code: "throw new Proxy({}, {get() { throw 1 }})", failure: "Error"},
			{code: "throw Object.assign(new TypeError('t', {cause: new Error('c')}), {code: 'E1'})", failure: "TypeError", stderr: "[cause]: Error: c"},
			{code: "await 1; null.x", failure: "TypeError", stderr: "at cell-9:1:", not: "node:"},
			{code: "(function r() { r() })()", failure: "RangeError", stderr: "Maximum call stack"},
			{code: "({ get [require('util').inspect.custom]() { throw new Error('no inspect') } })", failure: "Error"},
			{code: "setTimeout(() => { throw new Error('in timer') }, 1); await new Promise(r => setTimeout(r, 50)); 'on'", result: "'on'", stderr: "Error: in timer"},
			{code: "Promise.reject(new Error('unhandled')); await new Promise(r => setTimeout(r, 5)); 1", result: "1", stderr: "Error: unhandled"},
			{code: "'alive'", result: "'alive'", noStderr: true},
		},
		"exit ends its cell": {
			{code: "let s = 1; process.exit()", exits: true, noStderr: true},
			{code: "console.log('a'); process.exit(3); console.log('b')", stdout: "a\n", exits: true, exit: 3, noStderr: true},
			{code: "await 0; process.exit(4)", exits: true, exit: 4, noStderr: true},
			{code: "setTimeout(() => process.exit(5), 5); await new Promise(r => setTimeout(r, 5000))", exits: true, exit: 5, noStderr: true},
			{code: "async function main() { await 0; process.exit(6) }\nmain()", exits: true, exit: 6, noStderr: true},
			{code: "try { process.exit(7) } catch {}", exits: true, exit: 7},
			{code: "process.exitCode = 8", exits: true, exit: 8},
			{code: "s", result: "1"},
		},
		"bytes exact and in order": {
			{code: "process.stdout.write(Buffer.from([...Array(256).keys()])); console.log(); require('child_process').execSync('echo child', {stdio: 'inherit'}); console.log('end'); undefined", stdout: allBytes() + "\nchild\nend\n"},
			{code: "console.error('e'); process.stdout.write('grün ✓ 𝄞'); undefined", stdout: "grün ✓ 𝄞", stderr: "e\n"},
			{code: "for (let i = 0; i < 3; i++) process.stdout.write('x'.repeat(100000)); undefined", stdout: strings.Repeat("x", 300000)},
			{code: "process.stdout.end('ended\\n'); console.log('not'); undefined", stdout: "ended\nnot\n"},
			{code: "process.nextTick(() => console.log('tick')); Promise.resolve().then(() => console.log('micro')); console.log('sync'); undefined", stdout: "sync\ntick\nmicro\n"},
			{code: "require('child_process').execSync('for f in /proc/self/fd/*; do if [ -S $f ]; then echo ${f##*/}; fi; done; true').toString().split('\\n').filter(f => f > 2)", result: "[]"},
			{code: "require('child_process').execSync('cat').length", result: "0"},
		},
		"hard on its own footing": {
			{code: "process.removeAllListeners(); process.stdout.destroy(); console.log('on')", stdout: "on\n"},
			{code: "globalThis.setImmediate = null; globalThis.Promise = class {}; JSON.stringify = JSON.stringify; 1", result: "1"},
		},
	}
	for name, cells := range tests {
		t.Run(name, func(t *testing.T) { check(t, start(t, sandbox.Node), cells) })
	}
}

func TestNode_InterruptKeepsState(t *testing.T) {
	p := start(t, sandbox.Node)
	n := 0
	for name, code := range map[string]string{
		"a loop":       "for (;;);",
		"an await":     "await new Promise(r => setTimeout(r, 60000))",
		"a promise":    "(async () => { await new Promise(r => setTimeout(r, 60000)) })()",
		"a subprocess": "require('child_process').execSync('sleep 60')",
		"an inspect":   "({[require('util').inspect.custom]() { for (;;); }})",
		"output":       "for (;;) console.log('y'.repeat(1000))",
	} {
		t.Run(name, func(t *testing.T) {
			n++
			p.begin("n = " + strings.Repeat("1+", n) + "0; console.log('begun');\n" + code)
			p.out[0].until(t, "begun\n")
			time.Sleep(20 * time.Millisecond)
			p.interrupt()
			o := p.end()
			if name == "a subprocess" {
				if o.OK { // the child died of it, which execSync throws
					t.Fatalf("came %s", o)
				}
			} else if o.OK || !o.Interrupted || o.Failure == nil || o.Failure.Name != "Interrupted" || !strings.Contains(o.stderr, "Interrupted") {
				t.Fatalf("came %.2000s", o)
			}
			if got := len(p.run("'i'.repeat(n)").Result) - 2; got != n {
				t.Fatalf("n is %d, want %d", got, n)
			}
		})
	}
	p.interrupt()
	time.Sleep(50 * time.Millisecond) // it is on its way, and not for the next cell
	if o := p.run("'alive'"); !o.OK || o.Result != "'alive'" {
		t.Fatalf("after an interrupt between cells: %s", o)
	}
}

func TestNode_TimersGoOnBetweenCells(t *testing.T) {
	p := start(t, sandbox.Node)
	o := p.run("let ticks = 0; const timer = setInterval(() => { ticks++; console.log('tick') }, 5); timer.hasRef()")
	if o.Result != "true" {
		t.Fatalf("came %s", o)
	}
	p.out[0].until(t, "tick\ntick\n")
	if o := p.run("clearInterval(timer); ticks >= 2"); o.Result != "true" {
		t.Fatalf("came %s", o)
	}
}

func TestNode_EndsWithItsAgent(t *testing.T) {
	p := start(t, sandbox.Node)
	if !strings.Contains(p.version, ".") {
		t.Errorf("version %q", p.version)
	}
	p.run("setInterval(() => {}, 1000); 1")
	p.control.Close()
	if err := p.cmd.Wait(); err != nil {
		t.Fatalf("the kernel ended with %v", err)
	}
}

func TestNode_Bounds(t *testing.T) {
	p := start(t, sandbox.Node)
	o := p.run("Array.from({length: 50}, () => 'ü'.repeat(2000))")
	if len(o.Result) > 64<<10 || len(o.Result) < 60<<10 || len(o.stdout) < 200000 {
		t.Fatalf("a result of %d bytes, stdout of %d", len(o.Result), len(o.stdout))
	}
	o = p.run("throw new Error('m'.repeat(3000000))")
	if len(o.Failure.Message) > 8<<10 {
		t.Fatalf("a message of %d bytes", len(o.Failure.Message))
	}
}
