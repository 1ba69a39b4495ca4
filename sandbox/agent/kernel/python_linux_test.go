package kernel_test

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
)

func TestPython_Cells(t *testing.T) {
	tests := map[string][]cell{
		"values and state": {
			{code: "x = 40\nx + 2", stdout: "42\n", result: "42", noStderr: true},
			{code: "_ + 1", stdout: "43\n", result: "43"},
			{code: "None", noStderr: true, not: "None"},
			{code: "x;", not: "40"},
			{code: "x ;  # a comment", not: "40"},
			{code: "'a;b'", result: "'a;b'"},
			{code: "print('hi'); x", stdout: "hi\n40\n", result: "40"},
			{code: "", noStderr: true},
			{code: "# nothing\n", noStderr: true},
			{code: "'''doc'''\ny = 1"},
			{code: "if x:\n    5", not: "5"},
			{code: "(lambda: x)()", result: "40"},
		},
		"one line, which may be an expression": {
			{code: "import asyncio, os"},
			{code: "await asyncio.sleep(0, 'slept')  # soon", result: "'slept'"},
			{code: "[os.path.basename(p) for p in ('/a/b',)]", result: "['b']"},
			{code: "globals().update({'x': 7});", not: "None"},
			{code: "x, (y := 8)", result: "(7, 8)"},
			{code: "x == y", result: "False"},
			{code: "  x", failure: "IndentationError", stderr: "unexpected indent"},
			{code: "yield x", failure: "SyntaxError", stderr: "'yield' outside function"},
			{code: "x y", failure: "SyntaxError", stderr: "  File \"<cell 9>\", line 1\n    x y\n"},
			{code: "print 'old'", failure: "SyntaxError", stderr: "Missing parentheses in call to 'print'"},
			{code: "nosuch", failure: "NameError", stderr: "  File \"<cell 11>\", line 1, in <module>\n    nosuch\n"},
			{code: "del x"},
			{code: "x", failure: "NameError"},
		},
		"definitions": {
			{code: "def f(n):\n    return n if n < 2 else f(n-1) + f(n-2)\n\nclass A:\n    v: int = f(10)\n\nA.v", stdout: "55\n"},
			{code: "from dataclasses import dataclass\n@dataclass\nclass P:\n    x: int\nimport pickle\npickle.loads(pickle.dumps(P(3)))", result: "P(x=3)"},
			{code: "import inspect; print(inspect.getsource(f).splitlines()[0]); __name__", stdout: "def f(n):\n'__main__'\n"},
			{code: "import sys; sys.modules['__main__'].f is f, sys.argv", result: "(True, [''])"},
			{code: "from __future__ import annotations"},
			{code: "def g(a: nosuch): pass\ng.__annotations__", result: "{'a': 'nosuch'}"},
			{code: "import textwrap as t, json\nt.dedent('  a')", result: "'a'"},
		},
		"errors look as in the interpreter": {
			{code: "1", result: "1"},
			{
				code: "def f():\n    return 1/0\n\nf()", failure: "ZeroDivisionError", message: "division by zero", not: "python.py",
				stderr: "Traceback (most recent call last):\n  File \"<cell 2>\", line 4, in <module>\n    f()\n  File \"<cell 2>\", line 2, in f\n    return 1/0\n           ~^~\nZeroDivisionError: division by zero\n",
			},
			{code: "x = (1 +\n", failure: "SyntaxError", stderr: "  File \"<cell 3>\", line 1\n    x = (1 +\n        ^\nSyntaxError: '(' was never closed\n", not: "Traceback"},
			{code: "try:\n    {}['k']\nexcept KeyError as e:\n    raise ValueError('bad') from e", failure: "ValueError", stderr: "KeyError: 'k'\n\nThe above exception was the direct cause", not: "python.py"},
			{code: "raise ExceptionGroup('g', [ValueError('a'), TypeError('b')])", failure: "ExceptionGroup", stderr: "TypeError: b", not: "python.py"},
			{code: "def r(): r()\nr()", failure: "RecursionError", stderr: "Previous line repeated", not: "python.py"},
			{code: "import json; json.loads('{')", failure: "JSONDecodeError", stderr: "json/decoder.py", not: "python.py"},
			{code: "class E(Exception):\n    def __str__(self): raise ValueError\nraise E", failure: "E"},
			{code: "class R:\n    def __repr__(self): return 1/0\nR()", failure: "ZeroDivisionError", stderr: "in __repr__", not: "python.py"},
			{code: "'\x00'", failure: "ValueError", stderr: "null bytes"},
			{code: "raise BaseException('deep')", failure: "BaseException"},
			{code: "import warnings; warnings.warn('careful')", stderr: "UserWarning: careful"},
			{code: "raise Exception('a\\ud800b')", failure: "Exception"},
			{code: "(" + strings.Repeat("-", 100000) + "1)", failure: "MemoryError"},
			{code: "print('alive')", stdout: "alive\n", noStderr: true},
		},
		"top-level await": {
			{code: "import asyncio\nawait asyncio.sleep(0, 'slept')", result: "'slept'"},
			{code: "async def w(q):\n    while True:\n        i = await q.get()\n        print('got', i, flush=True)\nq = asyncio.Queue()\nt = asyncio.create_task(w(q))\nawait asyncio.sleep(0)"},
			{code: "q.put_nowait(1)\nawait asyncio.sleep(0.01)", stdout: "got 1\n"},
			{code: "async for_ = 1", failure: "SyntaxError"},
			{code: "async with asyncio.Lock() as l:\n    z = 3\nz", result: "3"},
			{code: "async def main():\n    await asyncio.sleep(0)\n    return 'ran'\nasyncio.run(main())", result: "'ran'"},
			{code: "q.put_nowait(2)\nawait asyncio.sleep(0.01)", stdout: "got 2\n"},
			{code: "t.cancel()\n[type(e).__name__ for e in await asyncio.gather(t, return_exceptions=True)]", result: "['CancelledError']"},
			{code: "async def bad():\n    raise KeyError('x')\nawait bad()", failure: "KeyError", stderr: "line 3, in <module>\n    await bad()\n  File", not: "base_events"},
			{code: "[i async for i in (lambda: (_ for _ in ()))()]", failure: "TypeError"},
		},
		"exit ends its cell": {
			{code: "x = 1; exit()", exits: true, noStderr: true},
			{code: "quit(3)", exits: true, exit: 3, noStderr: true},
			{code: "import sys; sys.exit('no luck')", exits: true, exit: 1, stderr: "no luck\n", not: "Traceback"},
			{code: "sys.exit(-1)", exits: true, exit: 255},
			{code: "raise SystemExit(True)", exits: true, exit: 1},
			{code: "import asyncio\nasync def f(): sys.exit(4)\nawait f()", exits: true, exit: 4, noStderr: true},
			{code: "input()", failure: "EOFError"},
			{code: "x, exit", stdout: "(1, Use exit() or Ctrl-D (i.e. EOF) to exit)\n"},
		},
		"bytes exact and in order": {
			{code: "import sys, os\nsys.stdout.buffer.write(bytes(range(256))); sys.stdout.flush()\nos.write(1, b'raw\\n');", stdout: allBytes() + "raw\n"},
			{code: "import subprocess\nprint('a'); subprocess.run('echo b; echo c >&2', shell=True); print('d', end='')", stdout: "a\nb\nd", stderr: "c\n"},
			{code: "print('grün ✓ 𝄞', '\\udcff')", stdout: "grün ✓ 𝄞 \xff\n"},
			{code: "sys.stdout.write('no newline');", stdout: "no newline"},
			{code: "import ctypes; ctypes.CDLL(None).printf(b'from C\\n');", stdout: "from C\n"},
			{code: "print('x' * 300000);", stdout: strings.Repeat("x", 300000) + "\n"},
		},
		"hard on its own footing": {
			{code: "import os, sys, io\nsys.stdout.close()", fails: false},
			{code: "print('back')", stdout: "back\n"},
			{code: "sys.stdout = io.StringIO(); print('hidden')"},
			{code: "sys.stdout = sys.__stdout__; print('seen')", stdout: "seen\n"},
			{code: "sys.stdout = None"},
			{code: "print('again')", stdout: "again\n"},
			{code: "os.closerange(3, 256); import builtins; del builtins.display; print('alive')", stdout: "alive\n"},
			{code: "sys.modules['__main__'] = None; import signal; signal.signal(signal.SIGINT, signal.SIG_DFL);"},
			{code: "import threading; t = threading.Thread(target=lambda: 1/0); t.start(); t.join()", stderr: "ZeroDivisionError"},
			{code: "sys.setrecursionlimit(50)"},
			{code: "sys.setrecursionlimit(1000); 'alive'", result: "'alive'"},
			{code: "sys.excepthook = lambda t, v, tb: print('hook', v)"},
			{code: "1/0", failure: "ZeroDivisionError", stdout: "hook division by zero\n", noStderr: true},
			{code: "del sys.excepthook"},
			{code: "1/0", failure: "ZeroDivisionError"},
			{code: "os.chdir('/'); os.environ.clear()"},
			{code: "'alive'", result: "'alive'"},
		},
		"children": {
			{code: "import os\npid = os.fork()\nif pid == 0:\n    print('child', flush=True)\nelse:\n    os.waitpid(pid, 0); print('parent')", stdout: "child\nparent\n"},
			{code: "pid = os.fork()\nif pid == 0: 1/0\nos.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])", result: "1", stderr: "ZeroDivisionError"},
			{code: "import sys\npid = os.fork()\nif pid == 0: sys.exit(7)\nos.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])", result: "7"},
			{code: "import multiprocessing as mp\ndef sq(n): return n * n\nwith mp.get_context('fork').Pool(2) as pool:\n    out = pool.map(sq, range(4))\nout", result: "[0, 1, 4, 9]"},
			{code: "from concurrent.futures import ThreadPoolExecutor\nwith ThreadPoolExecutor(2) as e: print(list(e.map(sq, range(3))))", stdout: "[0, 1, 4]\n"},
			{code: "import subprocess\nsubprocess.run(['/bin/sh', '-c', 'ls -l /proc/self/fd | grep -c socket'], close_fds=False, capture_output=True, text=True).stdout", result: "'0\\n'"},
		},
		"rich results": {
			{code: "display(1, 'a')", stdout: "1\n'a'\n"},
			{code: "class Big:\n    def _repr_png_(self): return b'x' * (600 << 10)\ndisplay(Big())", stderr: "is left out, as it is over 524288 bytes"},
			{code: "class Bad:\n    def _repr_html_(self): raise ValueError('html')\ndisplay(Bad())", failure: "ValueError"},
		},
	}
	for name, cells := range tests {
		t.Run(name, func(t *testing.T) { check(t, start(t, sandbox.Python), cells) })
	}
}

func allBytes() string {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	return string(all)
}

func TestPython_Displays(t *testing.T) {
	p := start(t, sandbox.Python)
	tests := map[string]struct {
		body string
		mime []string
		data []string
	}{
		"a mimebundle": {`def _repr_mimebundle_(self, include=None, exclude=None): return {"text/plain": "t", "text/html": "<b>", "image/png": "iVA="}`, []string{"text/html", "image/png"}, []string{"<b>", "\x89P"}},
		"html":         {`def _repr_html_(self): return "<i>ü</i>"`, []string{"text/html"}, []string{"<i>ü</i>"}},
		"png, metadata": {
			`def _repr_png_(self): return b"\x89PNG", {"width": 1}`, []string{"image/png"}, []string{"\x89PNG"},
		},
		"svg": {`def _repr_svg_(self): return "<svg/>"`, []string{"image/svg+xml"}, []string{"<svg/>"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			for _, show := range []string{"display(C())", "C()"} {
				o := p.run("class C:\n    " + test.body + "\n    def __repr__(self): return 'plain'\n" + show)
				if len(o.displays) != len(test.mime) {
					t.Fatalf("%d displays, want %d: %s", len(o.displays), len(test.mime), o)
				}
				for i, d := range o.displays {
					if d.MIME != test.mime[i] || string(d.Data) != test.data[i] {
						t.Errorf("display %d is %s %q", i, d.MIME, d.Data)
					}
				}
				if want := show == "C()"; (o.stdout == "plain\n") != want {
					t.Errorf("%s printed %q", show, o.stdout)
				}
			}
		})
	}
}

// fakePlots stands in for matplotlib where it is not installed: the parts that
// the kernel looks at.
const fakePlots = `
import sys, types
def package():
    m, p, f = (types.ModuleType(n) for n in ("matplotlib", "matplotlib.pyplot", "matplotlib.figure"))
    class Figure:
        def __init__(self, n): self.n = n
        def savefig(self, to, format, bbox_inches): to.write(b"\x89PNG" + str(self.n).encode())
        def __repr__(self): return "<Figure>"
    open_ = {}
    m.get_backend = lambda: "agg"
    f.Figure = Figure
    p.get_fignums = lambda: sorted(open_)
    p.figure = lambda n: open_.setdefault(n, Figure(n))
    p.close = lambda which: open_.clear()
    sys.modules.update({"matplotlib": m, "matplotlib.pyplot": p, "matplotlib.figure": f})
    return p
plt = package()
`

func TestPython_Figures(t *testing.T) {
	p := start(t, sandbox.Python)
	p.run(fakePlots)
	tests := []struct {
		code string
		want []string
	}{
		{"plt.figure(1); plt.figure(2); None", []string{"\x89PNG1", "\x89PNG2"}},
		{"None", nil},
		{"display(plt.figure(3))", []string{"\x89PNG3"}},
		{"plt.figure(4)", []string{"\x89PNG4"}},
		{"plt.figure(5); 1/0", []string{"\x89PNG5"}},
	}
	for _, test := range tests {
		o := p.run(test.code)
		var got []string
		for _, d := range o.displays {
			got = append(got, string(d.Data))
		}
		if fmt.Sprint(got) != fmt.Sprint(test.want) {
			t.Errorf("%s displayed %q, want %q\n%s", test.code, got, test.want, o)
		}
	}
}

func TestPython_InterruptKeepsState(t *testing.T) {
	p := start(t, sandbox.Python)
	tests := map[string]string{
		"a loop":         "while True: pass",
		"a sleep":        "import time; time.sleep(60)",
		"an await":       "import asyncio\nasync def f():\n    await asyncio.sleep(60)\nawait f()",
		"a busy await":   "import asyncio\nawait asyncio.sleep(0)\nwhile True: pass",
		"a subprocess":   "import subprocess; subprocess.run(['sleep', '60'])",
		"a repr":         "class L:\n    def __repr__(self):\n        while True: pass\nL()",
		"a thread":       "import threading; threading.Event().wait()",
		"displays":       "class D:\n    def _repr_png_(self): return b'x' * 100000\nwhile True: display(D())",
		"deep recursion": "import sys; sys.setrecursionlimit(5000)\ndef f(n):\n    if n: f(n-1)\n    while True: pass\nf(3000)",
		"output":         "while True: print('y' * 1000)",
	}
	n := 0
	for name, code := range tests {
		t.Run(name, func(t *testing.T) {
			n++
			p.begin(fmt.Sprintf("n = %d\nprint('begun')\n%s", n, code))
			p.out[0].until(t, "begun\n")
			p.interrupt()
			o := p.end()
			if o.OK || !o.Interrupted || o.Failure == nil || o.Failure.Name != "KeyboardInterrupt" {
				t.Fatalf("%s gave %.2000s", code, o)
			}
			if !strings.Contains(o.stderr, "KeyboardInterrupt") || strings.Contains(o.stderr, "python.py") {
				t.Errorf("stderr is %s", o.stderr)
			}
			if got := p.run("n").Result; got != strconv.Itoa(n) {
				t.Fatalf("n is %q, want %d", got, n)
			}
		})
	}
	t.Run("between cells", func(t *testing.T) {
		for range 5 {
			p.interrupt()
			time.Sleep(10 * time.Millisecond) // it is on its way, and not for the next cell
			if o := p.run("n"); o.Result != strconv.Itoa(n) || !o.OK {
				t.Fatalf("after an interrupt between cells: %s", o)
			}
		}
	})
	t.Run("shows which await it was", func(t *testing.T) {
		p.begin("import asyncio\nasync def f():\n    asyncio.get_running_loop().call_later(0.01, print, 'begun')\n    await asyncio.sleep(60)\nawait f()")
		p.out[0].until(t, "begun\n")
		p.interrupt()
		if o := p.end(); !strings.Contains(o.stderr, ", in f\n    await asyncio.sleep(60)\n") {
			t.Fatalf("came %s", o)
		}
	})
	t.Run("caught by the cell", func(t *testing.T) {
		p.begin("import time\ntry:\n    print('begun'); time.sleep(60)\nexcept KeyboardInterrupt:\n    print('caught')")
		p.out[0].until(t, "begun\n")
		p.interrupt()
		if o := p.end(); !o.OK || o.Interrupted || o.stdout != "begun\ncaught\n" {
			t.Fatalf("came %s", o)
		}
	})
}

// An interrupt at any moment of a cell leaves a kernel that speaks.
func TestPython_InterruptAtAnyMoment(t *testing.T) {
	p := start(t, sandbox.Python)
	p.run("class D:\n    def _repr_png_(self): return b'x' * 50000\nk = 'kept'")
	for i := range 60 {
		p.begin("for _ in range(30): display(D()); print('z' * 5000)\nk")
		time.Sleep(time.Duration(i) * 300 * time.Microsecond)
		p.interrupt()
		p.end()
	}
	if o := p.run("k"); o.Result != "'kept'" {
		t.Fatalf("came %s", o)
	}
}

func TestPython_BackgroundTasksGoOn(t *testing.T) {
	p := start(t, sandbox.Python)
	p.run("import asyncio\nasync def tick():\n    await asyncio.sleep(0.02)\n    print('tick', flush=True)\n    1/0\nt = asyncio.create_task(tick()) if False else None\nawait asyncio.sleep(0)\nt = asyncio.get_running_loop().create_task(tick()) if False else asyncio.ensure_future(tick(), loop=asyncio.get_event_loop())")
	p.out[0].until(t, "tick\n")
	p.out[0].take(t)
	if o := p.run("t.done(), type(t.exception()).__name__"); o.Result != "(True, 'ZeroDivisionError')" {
		t.Fatalf("came %s", o)
	}
	// A callback that keeps the loop gives way to SIGINT when a cell waits.
	p.run("import time\ndef block():\n    print('blocking', flush=True)\n    while True: time.sleep(0.01)\nasync def late():\n    await asyncio.sleep(0.02)\n    block()\nasync def go():\n    global bg\n    bg = asyncio.create_task(late())\nawait go()")
	p.out[0].until(t, "blocking\n")
	p.begin("'ran'")
	time.Sleep(50 * time.Millisecond)
	p.interrupt()
	if o := p.end(); !o.Interrupted {
		t.Fatalf("came %s", o)
	}
	if o := p.run("'alive'"); o.Result != "'alive'" {
		t.Fatalf("came %s", o)
	}
}

func TestPython_ResultIsBounded(t *testing.T) {
	p := start(t, sandbox.Python)
	o := p.run("'ü' * 100000")
	if len(o.Result) > 64<<10 || len(o.Result) < 60<<10 || !strings.HasPrefix(o.stdout, "'üü") || len(o.stdout) != 200003 {
		t.Fatalf("a result of %d bytes, stdout of %d", len(o.Result), len(o.stdout))
	}
	o = p.run("raise ValueError('m' * 3000000)")
	if len(o.Failure.Message) > 8<<10 {
		t.Fatalf("a message of %d bytes", len(o.Failure.Message))
	}
}

func TestPython_EnvironmentAndVersion(t *testing.T) {
	p := start(t, sandbox.Python, "PYTHONPATH=/opt/a:/opt/b", "LANG=C")
	if !strings.HasPrefix(p.version, "3.") {
		t.Errorf("version %q", p.version)
	}
	o := p.run("import sys, os; sys.path[:3], any('dist-packages' in x or 'site-packages' in x for x in sys.path), os.environ['MPLBACKEND']")
	if want := "(['', '/opt/a', '/opt/b'], True, 'Agg')"; o.Result != want {
		t.Errorf("result %s, want %s", o.Result, want)
	}
	p.run("open('helper.py', 'w').write('v = 5')")
	if o := p.run("import helper; helper.v"); o.Result != "5" {
		t.Errorf("import from the working directory: %s", o)
	}
}

func TestPython_ForkedChildIsNoKernel(t *testing.T) {
	p := start(t, sandbox.Python)
	o := p.run("import os, time\nif os.fork() == 0:\n    time.sleep(0.2); print('child done')")
	if !o.OK {
		t.Fatalf("came %s", o)
	}
	if o := p.run("1"); o.Result != "1" {
		t.Fatalf("came %s", o)
	}
	p.out[0].until(t, "child done\n")
	p.run("import os; os._exit if False else None")
	p.begin("os._exit(3)")
	p.gone()
}

func TestPython_EndsWithItsAgent(t *testing.T) {
	p := start(t, sandbox.Python)
	p.run("import threading, time; threading.Thread(target=time.sleep, args=(60,)).start()")
	p.control.Close()
	if err := p.cmd.Wait(); err != nil {
		t.Fatalf("the kernel ended with %v", err)
	}
}

func TestPython_LargeCell(t *testing.T) {
	p := start(t, sandbox.Python)
	text := bytes.Repeat([]byte("x"), 3<<20)
	if o := p.run("len('" + string(text) + "')"); o.Result != "3145728" {
		t.Fatalf("came %.300s", o)
	}
}

// A zygote loads the driver once, and forks. What it prints meanwhile is for nobody.
func TestPython_FromZygote(t *testing.T) {
	start(t, sandbox.Python).stop() // or skip
	zygote := `
import importlib.util, os, sys
spec = importlib.util.spec_from_file_location("sandwarden_kernel", sys.argv[1])
kernel = importlib.util.module_from_spec(spec)
spec.loader.exec_module(kernel)
out = os.dup(1)
os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
prepared = kernel.prepare()
if os.fork() == 0:
    os.dup2(out, 1)
    kernel.serve(3, prepared)
os.close(3)
os.wait()
`
	argv := []string{interpreters[sandbox.Python], "-I", "-X", "utf8", "-c", zygote, writeDriver(t, sandbox.Python)}
	check(t, launch(t, sandbox.Python, argv, nil), []cell{
		{code: "def f(): return __name__\nf()", result: "'__main__'"},
		{code: "1/0", failure: "ZeroDivisionError", stderr: "Traceback (most recent call last):\n  File \"<cell 2>\"", not: "sandwarden"},
		{code: "import asyncio; await asyncio.sleep(0, 1)", result: "1"},
	})
}
