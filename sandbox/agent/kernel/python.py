"""The Python kernel: runs cells of code for the agent, and keeps their state.

The agent starts this file with its end of a socket as descriptor 3, and speaks
frames over it: four bytes of length, big-endian, then JSON. A zygote imports it
and calls prepare() once, and serve() in each child that it forks. Python 3.9 or
later. Imports stay few, as each session that is not forked pays for them in time
and memory: json, signal and linecache would cost more than a megabyte.
"""

import _ast
import _signal
import builtins
import fcntl
import os
import sys
import types

import __future__

try:
    from _json import encode_basestring_ascii, scanstring
except ImportError:
    from json.decoder import scanstring
    from json.encoder import encode_basestring_ascii

_LARGEST_RUN = 4 << 20
_LARGEST_DISPLAY = 512 << 10
_LARGEST_RESULT = 64 << 10
_LARGEST_MESSAGE = 8 << 10
_KEPT_SOURCES = 8 << 20
_SETTLE_SECONDS = 1.0

_FUTURES = 0
for _name in __future__.all_feature_names:
    _FUTURES |= getattr(__future__, _name).compiler_flag
_COROUTINE = 0x80  # inspect.CO_COROUTINE, which is costly to import


class _Exit:
    """exit and quit: they end the cell, and leave sys.stdin open."""

    def __init__(self, name):
        self.__name__ = name

    def __repr__(self):
        return "Use %s() or Ctrl-D (i.e. EOF) to exit" % self.__name__

    def __call__(self, code=None):
        raise SystemExit(code)


class _Control:
    """The socket to the agent. Only the process that made it may use it."""

    def __init__(self, descriptor):
        self.descriptor = _move_away(descriptor)
        self.lock = None

    def __bool__(self):
        return self.descriptor >= 0

    def close(self):
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def receive(self):
        """Return the id and the code of the next run, or None at the end.

        Without an id it is what a session has that took this kernel later.
        """
        head = self._read(4)
        if head is None:
            return None
        size = int.from_bytes(head, "big")
        if size > _LARGEST_RUN:
            raise SystemExit("sandwarden kernel: a frame of %d bytes" % size)
        body = self._read(size)
        return None if body is None else _decode(body.decode())

    def _read(self, size):
        parts = []
        while size:
            part = os.read(self.descriptor, min(size, 1 << 16))
            if not part:
                return None
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def send(self, message):
        # Threads of the user's may display too. The lock is made late, since
        # threading need not be loaded for cells that do not use it.
        data = _encode(message).encode()
        data = len(data).to_bytes(4, "big") + data
        if self.lock is None:
            import _thread

            self.lock = _thread.allocate_lock()
        with self.lock:
            while data:
                data = data[os.write(self.descriptor, data) :]


class _Nowhere:
    """The control of a kernel that serves nobody yet."""

    descriptor = -1

    def __bool__(self):
        return False

    def close(self):
        pass


def _decode(text):
    """Read {"run":{"id":"…","code":"…"}}, always written in that order, or {"bind":"…"}."""
    if text.startswith('{"bind":"'):
        return None, scanstring(text, len('{"bind":"'), False)[0]
    identity, at = scanstring(text, len('{"run":{"id":"'), False)
    code, _ = scanstring(text, at + len(',"code":"'), False)
    return identity, code


def _encode(value):
    if isinstance(value, dict):
        return "{%s}" % ",".join("%s:%s" % (_encode(k), _encode(v)) for k, v in value.items())
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return "%d" % value
    return encode_basestring_ascii(value)


class _Sources:
    """The code of cells, for linecache, which tracebacks and inspect ask.

    It is handed over when something imports linecache, and then at once.
    """

    def __init__(self):
        self.lines = {}  # of cells, oldest first
        self.size = 0
        sys.meta_path.insert(0, self)

    def add(self, name, source):
        lines = [line + "\n" for line in source.split("\n")]
        self.lines[name] = (len(source), None, lines, name)
        self.size += len(source)
        cache = sys.modules.get("linecache")
        while self.size > _KEPT_SOURCES and len(self.lines) > 1:
            oldest = next(iter(self.lines))
            self.size -= self.lines.pop(oldest)[0]
            if cache is not None:
                cache.cache.pop(oldest, None)
        if cache is not None:
            cache.cache[name] = self.lines[name]

    def find_spec(self, name, path=None, target=None):
        if name != "linecache":
            return None
        spec = sys.modules["_frozen_importlib_external"].PathFinder.find_spec(name)
        if spec is None:
            return None
        execute = spec.loader.exec_module

        def exec_module(module):
            execute(module)
            module.cache.update(self.lines)

        spec.loader.exec_module = exec_module
        return spec


def _move_away(descriptor):
    """Move a descriptor out of the way of user code and of its children."""
    for lowest in (1000, 200, 20):
        try:
            moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, lowest)
        except OSError:
            continue
        os.close(descriptor)
        return moved
    os.set_inheritable(descriptor, False)
    return descriptor


class Kernel:
    """One conversation with the agent, and the user's state."""

    def __init__(self):
        self.attach(_Nowhere())
        self.main = types.ModuleType("__main__")
        self.names = self.main.__dict__
        self.names["__builtins__"] = builtins
        self.cells = 0
        self.flags = 0
        self.sources = _Sources()
        self.busy = False
        self.interrupted = False  # user code was given a KeyboardInterrupt
        self.pending = False  # one is to be given at the next chance
        self.loop = None
        self.displayed = set()  # figures that this cell has displayed itself
        self.quiet = False  # the warning of plt.show() is filtered
        self.flush_c = None  # fflush, once C code can have printed

    def attach(self, control):
        """Serve there, in this process."""
        self.control = control
        self.process = os.getpid()

    def hang_up(self):
        """Leave the agent to the process that this one was forked from."""
        self.control.close()

    # The frames of guarded and send are what _on_interrupt looks for.

    def guarded(self, call, *arguments):
        """Call what is the user's: only in here does SIGINT raise."""
        if self.pending:
            self.pending = False
            self.interrupted = True
            raise KeyboardInterrupt
        return call(*arguments)

    def attempt(self, call, *arguments):
        """Call what may fail in any way without harm to the conversation."""
        try:
            self.guarded(call, *arguments)
            return True
        except BaseException:
            return False

    def send(self, message):
        self.control.send(message)

    def on_interrupt(self, number, frame):
        while frame is not None:
            if frame.f_code is _SEND:  # half a frame must not be left behind
                break
            if frame.f_code is _GUARDED:
                self.interrupted = True
                raise KeyboardInterrupt
            if frame.f_code is _IDLE and self.readable():
                # A callback of the user's keeps a cell from its start.
                self.pending = True
                raise KeyboardInterrupt
            frame = frame.f_back
        if self.busy:
            self.pending = True

    def readable(self):
        import select

        return bool(select.select([self.control.descriptor], [], [], 0)[0])

    # Serving.

    def install(self):
        """Make the process look as user code expects it."""
        sys.modules["__main__"] = self.main
        sys.argv = [""]
        added = [p for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p]
        sys.path[:0] = [""] + added
        os.environ.setdefault("MPLBACKEND", "Agg")
        builtins.exit = _Exit("exit")
        builtins.quit = _Exit("quit")
        builtins.display = self.display
        for stream in (sys.stdout, sys.stderr):
            stream.reconfigure(line_buffering=True)
        _signal.signal(_signal.SIGINT, self.on_interrupt)
        os.register_at_fork(after_in_child=self.hang_up)

    def serve(self):
        self.send({"ready": {"version": sys.version.split()[0]}})
        while True:
            try:
                self.idle()
            except KeyboardInterrupt:
                pass  # at its very end; the cell that waits gets it
            message = self.control.receive()
            if message is None:
                break
            if message[0] is None:
                self.bind(message[1])
            else:
                self.run(*message)
        self.attempt(self.flush)

    def bind(self, settings):
        """Take on a session's directory and variables, unless it has begun."""
        done = {"id": "bind", "ok": True}
        if self.cells:
            self.send({"done": done})
            return
        directory, *pairs = settings.split("\0")
        try:
            for pair in pairs:
                name, _, value = pair.partition("=")
                os.environ[name] = value
            if directory:
                os.chdir(directory)
        except (OSError, ValueError):
            done["ok"] = False
        self.send({"done": done})

    def idle(self):
        """Let the user's asyncio tasks go on until the agent speaks."""
        while self.has_tasks():
            descriptor = self.control.descriptor
            self.loop.add_reader(descriptor, self.loop.stop)
            try:
                self.loop.run_forever()
                return
            except BaseException as error:
                if self.forked():
                    os._exit(1)
                self.tell(error)
            finally:
                if self.control:
                    self.loop.remove_reader(descriptor)

    def has_tasks(self):
        if self.loop is None or self.loop.is_closed():
            return False
        import asyncio

        return bool(asyncio.all_tasks(self.loop))

    def forked(self):
        return os.getpid() != self.process

    # One cell.

    def run(self, identity, source):
        self.cells += 1
        self.interrupted, self.busy = False, True  # pending may come from idle
        self.displayed.clear()
        done = {"id": identity, "ok": True}
        try:
            self.repair()
            self.guarded(self.evaluate, source, done)
        except SystemExit as end:
            self.ended(end, done)
        except BaseException as error:
            self.failed(error, done)
        if self.forked():
            self.attempt(self.flush)
            os._exit(done.get("exit", 0 if done["ok"] else 1))
        if "matplotlib.pyplot" in sys.modules:
            self.attempt(self.show_figures)
        self.attempt(self.flush)
        done["interrupted"] = self.interrupted and not done["ok"]
        if self.has_tasks():
            done["tasks"] = True
        self.busy = False
        self.pending = False
        self.send({"done": done})

    def evaluate(self, source, done):
        name = "<cell %d>" % self.cells
        self.sources.add(name, source)
        if not self.quiet and "matplotlib" in source:
            self.quiet_show()
        body, last, silent = self.parse(source, name)
        value = self.execute(body, last)
        if value is None or silent:
            return
        text = repr(value)
        builtins._ = value
        done["result"] = _cut(text, _LARGEST_RESULT)
        self.display_rich(value)
        sys.stdout.write(text + "\n")

    def parse(self, source, name):
        """Compile a cell into its statements, and its last expression."""
        flags = _ast.PyCF_ALLOW_TOP_LEVEL_AWAIT | self.flags
        if _may_be_expression(source):
            try:
                return None, compile(source, name, "eval", flags, True), False
            except Exception:
                pass  # it is no expression, or is wrong as statements too, which says better why
        tree = compile(source, name, "exec", flags | _ast.PyCF_ONLY_AST, True)
        last, silent = None, False
        if tree.body and isinstance(tree.body[-1], _ast.Expr):
            statement = tree.body.pop()
            silent = _ends_in_semicolon(source, statement)
            last = _ast.Expression(statement.value)
        body = None
        if tree.body:
            body = compile(tree, name, "exec", flags, True)
            self.flags |= body.co_flags & _FUTURES
        if last is not None:
            flags = _ast.PyCF_ALLOW_TOP_LEVEL_AWAIT | self.flags
            last = compile(last, name, "eval", flags, True)
        return body, last, silent

    def execute(self, body, last):
        if _awaits(body) or _awaits(last):
            return self.complete(self.awaited(body, last))
        if body is not None:
            eval(body, self.names)
        return None if last is None else eval(last, self.names)

    async def awaited(self, body, last):
        """Run a cell of which any part awaits: all of it sees the loop."""
        value = None
        for code in (body, last):
            if code is not None:
                value = eval(code, self.names)
                if _awaits(code):
                    value = await value
        return None if last is None else value

    def complete(self, coroutine):
        """Run a cell that awaits in the loop that all such cells share."""
        loop = self.event_loop()
        task = loop.create_task(coroutine)
        try:
            return loop.run_until_complete(task)
        except KeyboardInterrupt as interrupt:
            raise self.cancelled(loop, task, interrupt) from None

    def event_loop(self):
        import asyncio
        import warnings

        if self.loop is None or self.loop.is_closed():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    self.loop = asyncio.get_event_loop()
                except RuntimeError:
                    self.loop = None
            if self.loop is None or self.loop.is_closed():
                self.loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self.loop)
        return self.loop

    def cancelled(self, loop, task, interrupt):
        """End the task of an interrupted cell; say where it was."""
        if not task.done():
            import asyncio

            task.cancel()
            loop.run_until_complete(asyncio.wait([task], timeout=_SETTLE_SECONDS))
        if task.done():
            try:
                task.result()
            except BaseException as error:
                if error is not interrupt:
                    interrupt.__traceback__ = error.__traceback__
        return interrupt

    def ended(self, end, done):
        """A SystemExit ends its cell, and nothing more."""
        code = end.code
        if code is None:
            code = 0
        elif not isinstance(code, int):
            self.attempt(lambda: sys.stderr.write("%s\n" % (end.code,)))
            code = 1
        done["exit"] = code & 0xFF
        done["ok"] = done["exit"] == 0

    def failed(self, error, done):
        done["ok"] = False
        done.pop("result", None)
        failure = {"name": _cut(type(error).__name__, 256), "message": ""}
        done["failure"] = failure

        def tell():
            failure["message"] = _cut(str(error), _LARGEST_MESSAGE)

        self.attempt(tell)
        if not self.attempt(self.report, error):
            self.attempt(os.write, 2, (failure["name"] + "\n").encode("utf-8", "replace"))

    def tell(self, error):
        try:
            self.report(error)
        except Exception:
            pass  # there is nobody left to tell

    def report(self, error):
        """Print an exception as the interpreter would, without our frames."""
        _strip(error, set(), True)
        if sys.excepthook is not sys.__excepthook__:
            sys.excepthook(type(error), error, error.__traceback__)
            return
        import traceback

        traceback.print_exception(type(error), error, error.__traceback__)

    # Standard streams.

    def repair(self):
        """Undo what an earlier cell did to the interpreter's own footing."""
        if _signal.getsignal(_signal.SIGINT) != self.on_interrupt:
            _signal.signal(_signal.SIGINT, self.on_interrupt)
        if sys.modules.get("__main__") is not self.main:
            sys.modules["__main__"] = self.main
        for name, number in (("stdout", 1), ("stderr", 2)):
            stream = getattr(sys, name, None)
            if stream is None or getattr(stream, "closed", False):
                own = getattr(sys, "__%s__" % name)
                if own is None or own.closed:
                    own = open(number, "w", 1, "utf-8", "surrogateescape", closefd=False)
                    setattr(sys, "__%s__" % name, own)
                setattr(sys, name, own)

    def flush(self):
        for stream in (sys.stdout, sys.__stdout__, sys.stderr, sys.__stderr__):
            try:
                stream.flush()
            except (AttributeError, OSError, ValueError):
                pass
        if self.flush_c is None and "ctypes" in sys.modules:
            self.flush_c = sys.modules["ctypes"].CDLL(None).fflush
        if self.flush_c is not None:  # C code may have printed, too
            self.flush_c(None)

    # Before there is a session.

    def rehearse(self, cells):
        """Run cells, and leave nothing of them but memory that was touched.

        What forks then shares those pages, and a first cell of a session costs
        what a later one does: half the memory of a kernel, and of its start. So
        each comes and goes by a socket, as it will.
        """
        import _socket
        import linecache

        names, before = dict(self.names), self.control
        agent, ours = _socket.socketpair()
        self.attach(_Control(ours.detach()))
        for source in cells:
            body = b'{"run":{"id":"0","code":%s}}' % encode_basestring_ascii(source).encode()
            agent.send(len(body).to_bytes(4, "big") + body)
            self.run(*self.control.receive())
            agent.recv(_LARGEST_MESSAGE)
        agent.close()
        self.control.close()
        self.attach(before)
        for name in self.sources.lines:
            linecache.cache.pop(name, None)
        self.sources.lines.clear()
        self.sources.size = self.cells = self.flags = 0
        self.names.clear()
        self.names.update(names)
        del builtins._

    # Rich results.

    def display(self, *values):
        """Show values: as pictures or HTML where they can be, else as text."""
        for value in values:
            if not self.display_rich(value):
                sys.stdout.write(repr(value) + "\n")

    def display_rich(self, value):
        shown = False
        if self.control and not isinstance(value, type):
            for mime, data in _representations(value):
                shown = self.show(mime, data) or shown
            if shown and _is_figure(value):
                self.displayed.add(id(value))
        return shown

    def show(self, mime, data):
        mime = mime.split(";")[0].strip()
        kind, _, name = mime.partition("/")
        plain = name.replace("+", "").replace("-", "").replace(".", "")
        if not (kind.isalpha() and plain.isalnum() and mime.isascii() and len(mime) < 100):
            return False  # no media type, so nobody could show it
        if isinstance(data, str):
            if mime.startswith("image/") and not mime.endswith("+xml"):
                import binascii

                data = binascii.a2b_base64(data)
            else:
                data = data.encode("utf-8", "replace")
        if len(data) > _LARGEST_DISPLAY:
            sys.stderr.write(
                "display: %s of %d bytes is left out, as it is over %d bytes; "
                "make it smaller or save it to a file\n" % (mime, len(data), _LARGEST_DISPLAY)
            )
            return False
        import binascii

        encoded = binascii.b2a_base64(data, newline=False).decode()
        self.send({"display": {"mime": mime, "data": encoded}})
        if self.pending:  # it came while the frame was written
            self.pending, self.interrupted = False, True
            raise KeyboardInterrupt
        return True

    def show_figures(self):
        pyplot = sys.modules["matplotlib.pyplot"]
        if sys.modules["matplotlib"].get_backend().lower() != "agg":
            return
        try:
            for number in pyplot.get_fignums():
                figure = pyplot.figure(number)
                if id(figure) not in self.displayed:
                    self.show("image/png", _png(figure))
        finally:
            pyplot.close("all")

    def quiet_show(self):
        import warnings

        warnings.filterwarnings("ignore", message=".*non-interactive.*cannot be shown")
        self.quiet = True


_REHEARSAL = (
    "1 + 1",
    "x = [n * 2 for n in range(3)]\nprint(x, len('text'), {'a': 1.5})",
    "import math, os\nclass C:\n    def f(self, n=1):\n        return str(n) + 'é'\nC().f(2)",
    "try:\n    {}['key']\nexcept KeyError as error:\n    text = f'{error!r:>20}'\nfor n in range(9):\n    n += 1",
    "1 / 0",
)

# Words with which what is no expression begins.
_STATEMENTS = frozenset(
    "assert async break class continue def del for from global if import nonlocal pass raise return try while with".split()
)

_GUARDED = Kernel.guarded.__code__
_SEND = Kernel.send.__code__
_IDLE = Kernel.idle.__code__


def _awaits(code):
    return code is not None and code.co_flags & _COROUTINE


def _may_be_expression(source):
    """Guess whether a cell is one expression and no more, which compiles in a third of the time."""
    if "\n" in source or "=" in source or not source[:1].strip():  # space before it is an error of statements alone
        return False
    return source.partition(" ")[0] not in _STATEMENTS


def _cut(text, size):
    """Cut text to a size in bytes of UTF-8, between characters."""
    data = text[:size].encode("utf-8", "replace")
    return data[:size].decode("utf-8", "ignore")


def _ends_in_semicolon(source, statement):
    """Report whether the last expression is followed by ';', for no output."""
    line = source.split("\n")[statement.end_lineno - 1].encode("utf-8")
    return line[statement.end_col_offset :].lstrip().startswith(b";")


def _strip(error, seen, outermost):
    """Take the frames that are not the user's out of tracebacks."""
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        error.__traceback__ = _user_frames(error.__traceback__, outermost)
        for part in getattr(error, "exceptions", None) or ():
            if isinstance(part, BaseException):
                _strip(part, seen, False)
        if error.__cause__ is not None:
            _strip(error.__cause__, seen, False)
        error = error.__context__
        outermost = False


def _user_frames(trace, outermost):
    if outermost:  # what leads to the cell is ours, and asyncio's
        while trace is not None and not trace.tb_frame.f_code.co_filename.startswith("<cell "):
            trace = trace.tb_next
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    kept = trace
    while kept is not None:
        rest = kept.tb_next
        while rest is not None and rest.tb_frame.f_code.co_filename == __file__:
            rest = rest.tb_next
        kept.tb_next = rest
        kept = rest
    return trace


def _is_figure(value):
    figure = sys.modules.get("matplotlib.figure")
    return figure is not None and isinstance(value, figure.Figure)


def _png(figure):
    import io

    picture = io.BytesIO()
    figure.savefig(picture, format="png", bbox_inches="tight")
    return picture.getvalue()


def _representations(value):
    """Yield the rich forms of a value, by the conventions of IPython."""
    if _is_figure(value):
        yield "image/png", _png(value)
        return
    bundle = getattr(value, "_repr_mimebundle_", None)
    if callable(bundle):
        bundle = bundle(include=None, exclude=None)
        if isinstance(bundle, tuple):
            bundle = bundle[0]
        if bundle:
            for mime, data in bundle.items():
                if mime != "text/plain" and isinstance(data, (str, bytes)):
                    yield mime, data
            return
    for method, mime in (
        ("_repr_html_", "text/html"),
        ("_repr_svg_", "image/svg+xml"),
        ("_repr_png_", "image/png"),
        ("_repr_jpeg_", "image/jpeg"),
    ):
        call = getattr(value, method, None)
        data = call() if callable(call) else None
        if isinstance(data, tuple):  # with metadata
            data = data[0]
        if isinstance(data, (str, bytes)):
            yield mime, data


def prepare():
    """Return a kernel that has run cells, to be served in what is forked.

    What they print goes to descriptor 1, which nobody reads; but our errors may be read.
    """
    kernel = Kernel()
    kernel.install()
    errors = sys.stderr
    with open(os.devnull, "w") as sys.stderr:
        kernel.rehearse(_REHEARSAL * 10)  # so often that the interpreter knows what it runs
    sys.stderr = errors
    return kernel


def serve(descriptor, kernel=None):
    """Serve the agent on a descriptor until it hangs up."""
    if kernel is None:
        kernel = Kernel()
        kernel.install()
    kernel.attach(_Control(descriptor))
    status = 1
    try:
        kernel.serve()
        status = 0
    finally:
        os._exit(status)


if __name__ == "__main__":
    _own = sys.modules["__main__"]  # lives on when the user's module takes its place
    serve(3)
