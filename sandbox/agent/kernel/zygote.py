"""The zygote: a Python that has loaded what cells need, and forks kernels.

The daemon starts this file with root's rights in the tree of a template, with
its end of a packet socket as descriptor 3. The first packet says what every
kernel is to be: {"filter": base64, "handled": rights of Landlock, "shared" and
"rules": [[path, rights], …] of what is the template's and of what is mounted in
each sandbox, "limits": [[resource, value], …], "last_capability": n,
"user_namespace": bool, "preimport": [modules], "between": base64 of machine
code}. The answer is {"ready": …}.

Each packet after it asks for one kernel: the number of its user and group, and whether it
is to rehearse, as two numbers of four bytes, with the descriptors of the
sandbox's PID 1, of two pipes, of the kernel's control socket, stdout and stderr, and of
the cgroups to join. What comes in the second pipe tells that the sandbox is there to be
entered. The kernel writes "locked" and its number in the sandbox into the first once it
is locked down; else a text says what failed, or the end of the pipe that it ended.
At the end of the socket the zygote ends.

No byte of a tenant's ever comes here, and between the entry into a sandbox and
the lockdown nothing of the sandbox is read: code may run there already.
"""

import _socket
import binascii
import ctypes
import errno
import gc
import importlib
import importlib.util
import json
import os
import random
import resource
import stat
import struct
import sys
import threading

import _random

_CONTROL = 3
_PACKET = 1 << 20
_MOST_DESCRIPTORS = 32

_NEW_NAMESPACES = 0x00020000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x40000000  # mnt, cgroup, uts, ipc, net
_NEW_PID = 0x20000000
_SET_DUMPABLE, _SET_SECCOMP, _CAPBSET_READ, _CAPBSET_DROP, _SET_SECUREBITS = 4, 22, 23, 24, 28
_SET_NO_NEW_PRIVS, _CAP_AMBIENT, _AMBIENT_CLEAR_ALL = 38, 47, 4
_SECUREBITS = 0x03 | 0x20 | 0xC0  # noroot and its lock, the lock of keepcaps, no ambient and its lock
_LOCKED = b"locked %d"
_FILE_RIGHTS = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 14  # execute, write, read, truncate

# What programs of agents import most, as far as it loads few pages: each costs
# time at every fork. asyncio and what needs OpenSSL double that.
_STANDARD = (
    "base64 bisect collections contextlib copy csv dataclasses datetime decimal enum functools glob heapq io "
    "itertools json linecache math operator os pathlib random re shutil signal statistics string struct "
    "subprocess sys tempfile textwrap threading time traceback types typing urllib.parse uuid warnings zlib"
).split()

_libc = ctypes.CDLL(None, use_errno=True)
_libc.prctl.argtypes = (ctypes.c_int, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong)
_fork = ctypes.PyDLL(None, use_errno=True).fork  # without what modules do at a fork, see _renew
_libc.mmap.restype = ctypes.c_void_p
_PRIVATE_ANONYMOUS, _READ_WRITE, _READ_EXECUTE = 0x22, 3, 5  # of mmap, on the architectures that have machine code
_BETWEEN_STACK = 256 << 10
_PAGE = resource.getpagesize()
_request_of = struct.Struct("=II").unpack


def _check(result, what):
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, "%s: %s" % (what, os.strerror(number)))
    return result


def _prctl(option, first=0, second=0):
    result = _libc.prctl(option, first, second, 0, 0)
    return result if result >= 0 else _check(result, "prctl %d" % option)


def _syscall(name, number, *kinds):
    """Return what calls the kernel with arguments of these kinds, and looks at the result."""
    call = _libc["syscall"]
    call.argtypes = (ctypes.c_long, *kinds)
    return lambda *arguments: _check(call(number, *arguments), name)


# These numbers are the same on all architectures.
_pidfd_open = _syscall("pidfd_open", 434, ctypes.c_int, ctypes.c_uint)
_close_range = _syscall("close_range", 436, ctypes.c_uint, ctypes.c_uint, ctypes.c_uint)
_create_ruleset = _syscall("landlock_create_ruleset", 444, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint)
_add_rule = _syscall("landlock_add_rule", 445, ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
_restrict_self = _syscall("landlock_restrict_self", 446, ctypes.c_int, ctypes.c_uint)


class _Filter(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("program", ctypes.c_char_p)]


class Policy:
    """How every kernel is locked down.

    What a fork passes on, and what does not keep us from forking, is done once, here: each
    step in a kernel would cost it pages of memory.
    """

    def __init__(self, settings):
        program = binascii.a2b_base64(settings["filter"])
        if not program or len(program) % 8:
            raise ValueError("no seccomp program was given")
        self.filter = _Filter(len(program) // 8, program)
        self.filter_address = ctypes.addressof(self.filter)
        self.user_namespace = settings["user_namespace"]
        self.capabilities = struct.pack("=Ii", 0x20080522, 0), bytes(24)  # none
        self.landlock = bool(settings["handled"])  # else the kernel has none
        self.handled = struct.pack("=Q", settings["handled"])
        self.shared = [rule for rule in (_rule(path, rights) for path, rights in settings["shared"]) if rule]
        self.rules = settings["rules"]
        self.ruleset = -1
        self.tasks = None  # how many a user may have; we are one of the same user's, so it is set later
        self.limit(settings["limits"])
        for capability in range(settings["last_capability"] + 1):
            if _prctl(_CAPBSET_READ, capability):
                _prctl(_CAPBSET_DROP, capability)
        _prctl(_CAP_AMBIENT, _AMBIENT_CLEAR_ALL)
        _prctl(_SET_SECUREBITS, _SECUREBITS)

    def limit(self, limits):
        for kind, value in limits:
            value = min(value, _unlimited(resource.getrlimit(kind)[1]))
            if kind == resource.RLIMIT_NPROC:
                self.tasks = value, value
            else:
                resource.setrlimit(kind, (value, value))

    def prepare(self):
        """Do what does not depend on the sandbox, while that is being made."""
        if self.landlock:
            self.ruleset = _create_ruleset(self.handled, 8, 0)
            for rule in self.shared:
                _add_rule(self.ruleset, 1, rule, 0)

    def lock_down(self, user):
        """Drop every right in the sandbox, in the same order as the agent does."""
        if self.tasks:
            resource.setrlimit(resource.RLIMIT_NPROC, self.tasks)
        self.become(user)
        _check(_libc.capset(*self.capabilities), "capset")
        _prctl(_SET_NO_NEW_PRIVS, 1)
        if self.landlock:
            for path, rights in self.rules:
                rule = _rule(path, rights)
                if rule:
                    _add_rule(self.ruleset, 1, rule, 0)
            _restrict_self(self.ruleset, 0)
        _prctl(_SET_SECCOMP, 2, self.filter_address)

    def become(self, user):
        try:
            os.setgroups([])
        except PermissionError:  # a namespace of one id forbids it
            if not self.user_namespace:
                raise
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)


def _rule(path, rights):
    """Return a rule of Landlock for what is there, whose descriptor stays open; else nothing."""
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENXIO):
            return None
        raise
    if not stat.S_ISDIR(os.fstat(place).st_mode):
        rights &= _FILE_RIGHTS
    return struct.pack("=Qi", rights, place)


def _unlimited(value):
    return (1 << 63) - 1 if value == resource.RLIM_INFINITY else value


def _load_driver():
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "python.py")
    spec = importlib.util.spec_from_file_location("sandwarden_kernel", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _preimport(names):
    """Load modules; return those that cannot be, with the reason."""
    missing = {}
    for name in names:
        try:
            importlib.import_module(name)
        except BaseException as error:  # a module may do anything
            missing[name] = "%s: %s" % (type(error).__name__, str(error)[:200])
    return missing


def _joins(files):
    """The cgroups that a kernel is to be born in."""
    return files[6:]


def _between(code):
    """Return what forks a kernel by a child in between, in machine code where that can be had."""
    try:
        # A libc that has seen threads locks what they share while it forks. A child that
        # is killed then would leave us locked.
        if code and ctypes.c_char.in_dll(_libc, "__libc_single_threaded").value != b"\0":
            return Between(code).bear
    except (OSError, ValueError):  # a host may allow no memory that is executed and not of a file
        pass
    return _bear_slowly


def _bear_slowly(files):
    """Fork a child, in it the kernel, and return 0 in that once the child has ended."""
    child = _check(_fork(), "fork")
    if child:
        os.waitpid(child, 0)
        return child
    try:
        for group in _joins(files):
            os.pwrite(group, b"0", 0)
        if _check(_fork(), "fork"):
            os._exit(0)
        return 0
    except BaseException as error:
        _give_up(files[1], error)


class Between:
    """A child in between that is machine code of the daemon's, and does not cost a copy of us.

    It shares our memory, and we stand still until it has joined the cgroups, forked and ended.
    """

    def __init__(self, code):
        page = _map(len(code))
        ctypes.memmove(page, code, len(code))
        _check(_libc.mprotect(ctypes.c_void_p(page), ctypes.c_size_t(len(code)), _READ_EXECUTE), "mprotect")
        kinds = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_ssize_t]
        self.call = ctypes.PYFUNCTYPE(ctypes.c_int, *kinds)(page)
        self.groups = (ctypes.c_int * (_MOST_DESCRIPTORS + 1))()
        below = _map(_BETWEEN_STACK)
        _check(_libc.mprotect(ctypes.c_void_p(below), ctypes.c_size_t(_PAGE), 0), "mprotect")  # where it ends
        stack = below + _BETWEEN_STACK
        self.arguments = (ctypes.cast(_fork, ctypes.c_void_p), stack, ctypes.addressof(self.groups), _rseq_offset())

    def bear(self, files):
        groups = list(_joins(files))
        self.groups[: len(groups) + 1] = groups + [-1]
        child = self.call(*self.arguments)
        if child < 0:
            raise OSError(-child, "clone: %s" % os.strerror(-child))
        if child:
            _, status = os.waitpid(child, 0)
            if status:
                raise OSError("the child that joins the cgroups and forks ended with status %#x" % status)
        return child


def _map(size):
    place = _libc.mmap(None, ctypes.c_size_t(size), _READ_WRITE, _PRIVATE_ANONYMOUS, -1, ctypes.c_long(0))
    _check(-1 if place == ctypes.c_void_p(-1).value else 0, "mmap")
    return place


def _rseq_offset():
    """Where libc has told the kernel to write a thread's processor, from the thread's pointer; 0 if nowhere.

    A child that shares memory has that no more, nor has who is forked from it.
    """
    try:
        if ctypes.c_uint.in_dll(_libc, "__rseq_size").value:
            return ctypes.c_ssize_t.in_dll(_libc, "__rseq_offset").value
    except ValueError:
        pass  # a libc that does not
    return 0


class Zygote:
    """The loop that forks."""

    def __init__(self):
        self.socket = _socket.socket(fileno=_CONTROL)
        self.own = _pidfd_open(os.getpid(), 0)
        # An ordinary user's pid namespace is that of the host, to which nobody gets back.
        self.returns = _libc.setns(self.own, _NEW_PID) == 0
        self.policy = None
        self.bear = None  # forks a kernel by a child in between, see Between
        self.settle = None  # what a kernel does before its sandbox is there

    def answer(self, message):
        self.socket.send(json.dumps(message).encode())

    def begin(self, driver):
        data = self.socket.recv(_PACKET)
        if not data:
            os._exit(0)
        settings = json.loads(data)
        self.policy = Policy(settings)
        missing = _preimport(_STANDARD)
        missing.update(_preimport(settings["preimport"]))
        driver.kernel = driver.prepare()
        del sys.modules[driver.__name__]  # it is not there in a kernel that was started
        gc.collect()
        self.bear = _between(binascii.a2b_base64(settings["between"] or ""))
        gc.freeze()  # so that no collection in a kernel copies these pages
        self.answer({"ready": {"missing": missing}})

    def serve(self):
        """Fork kernels. It returns only in one of them."""
        space = _socket.CMSG_SPACE(_MOST_DESCRIPTORS * 4)
        while True:
            data, controls, _, _ = self.socket.recvmsg(4096, space, _socket.MSG_CMSG_CLOEXEC)
            if not data:
                os._exit(0)
            files = memoryview(controls[0][2]).cast("i") if controls else ()
            try:
                if self.fork(data, files):
                    return
            except Exception as error:
                self.refuse(files, error)
            for file in files:
                os.close(file)

    def refuse(self, files, error):
        if len(files) > 1:
            os.write(files[1], _words(error))
        else:
            self.answer({"error": "a request needs descriptors"})

    def fork(self, data, files):
        """Fork a kernel into a sandbox, and return True in it.

        A child in between forks it and ends, so that its parent is the
        sandbox's PID 1, which waits for it.
        """
        init, tell, *_ = files
        child = self.fork_there(init, files) if self.returns else self.fork_beyond(init, tell, files)
        if child == 0:
            self.descend(data, files)
            return True
        return False

    def fork_there(self, init, files):
        """Fork in the pid namespace of a process, and come back from there."""
        _check(_libc.setns(init, _NEW_PID), "setns of the pid namespace")
        try:
            child = self.bear(files)
        except BaseException:
            self.leave()
            raise
        if child:
            self.leave()
        return child

    def fork_beyond(self, init, tell, files):
        """Fork in the pid namespace of a process, by a child that enters it for good."""
        beyond = _check(_fork(), "fork")
        if beyond:
            os.waitpid(beyond, 0)
            return beyond
        try:
            _check(_libc.setns(init, _NEW_PID), "setns of the pid namespace")
            if self.bear(files):
                os._exit(0)
            return 0
        except BaseException as error:
            _give_up(tell, error)

    def leave(self):
        """Have further children in our own pid namespace again, or none."""
        if _libc.setns(self.own, _NEW_PID) < 0:
            os._exit(1)

    def descend(self, data, files):
        """Enter the sandbox, and return, locked down.

        From the setns on, code of a tenant may run around us.
        """
        init, tell, there, control, out, err, *_ = files
        try:
            user, rehearse = _request_of(data)
            os.setsid()
            os.close(self.socket.detach())  # so that the end of the zygote is seen
            self.settle(rehearse)
            self.policy.prepare()
            if not os.read(there, 1):
                os._exit(0)
            _check(_libc.setns(init, _NEW_NAMESPACES), "setns")
            self.policy.lock_down(user)
            os.chdir("/work")
            for source, target in ((os.open("/dev/null", os.O_RDWR), 0), (out, 1), (err, 2), (control, 3)):
                os.dup2(source, target)
            tell = os.dup2(tell, 4)
            _close_range(5, 0xFFFFFFFF, 0)
            _prctl(_SET_DUMPABLE, 1)  # as after an exec; there is nothing to hide any more
            os.write(tell, _LOCKED % os.getpid())
            os.close(tell)
        except BaseException as error:
            _give_up(tell, error)


def _give_up(tell, error):
    """End a child of the zygote, which may have all rights still: it never gets back to the loop."""
    try:
        os.write(tell, _words(error))
    finally:
        os._exit(1)


def _words(error):
    return ("%s: %s" % (type(error).__name__, str(error)[:500])).encode("utf-8", "replace")


# Bound before the fork, as each step on the way to them writes to memory.
_seed = _random.Random.seed.__get__(random._inst)
_number_thread = threading.main_thread()._set_native_id


def _renew():
    """Give a kernel what is not the zygote's any more.

    It is what modules do at a fork, as far as there is only one thread: all that
    they do would copy 400 KB of memory for each kernel.
    """
    _seed()
    _number_thread()
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed()


def _main():
    os.environ.pop("LD_BIND_NOW", None)  # it was for us
    _prctl(_SET_DUMPABLE, 0)  # nobody inside may trace what forks from us before it is locked down
    driver = _load_driver()
    zygote = Zygote()
    zygote.begin(driver)
    zygote.settle = lambda rehearse: _settle(driver, rehearse)
    zygote.serve()
    return driver


def _settle(driver, rehearse):
    """Make the state of a kernel its own, and do what takes a first cell time.

    The latter is for a kernel that is made ahead of its session. One that somebody waits for would only do it twice.
    """
    _renew()
    if rehearse:
        driver.kernel.rehearse(["1\n1 + 1"])  # statements, which take more than an expression


_own = sys.modules["__main__"]  # lives on when the user's module takes its place
_driver = _main()
_driver.serve(_CONTROL, _driver.kernel)
