//go:build linux

package doctor

import (
	"strings"
	"testing"
	"testing/fstest"
)

// What containers give to root by default: not all that is needed.
const (
	statusDefault = "CapEff:\t00000000a80425fb\nCapBnd:\t00000000a80425fb\nSeccomp:\t2\n"
	statusNobody  = "CapEff:\t0000000000000000\nCapBnd:\t00000000a80425fb\nSeccomp:\t2\n"
	statusAll     = "CapEff:\t000001ffffffffff\nCapBnd:\t000001ffffffffff\nSeccomp:\t0\n"
	groupsRO      = "30 29 0:26 / /sys/fs/cgroup ro,nosuid,nodev,noexec,relatime - cgroup2 cgroup rw,nsdelegate\n"
	groupsRW      = "30 29 0:26 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime - cgroup2 cgroup rw,nsdelegate\n"
	maskedKcore   = "40 39 0:5 /null /proc/kcore rw,nosuid - tmpfs tmpfs rw\n"
)

func TestExplain(t *testing.T) {
	for name, test := range map[string]struct {
		uid          int
		files        map[string]string
		noUsers      bool
		what, remedy string
	}{
		"a good host": {files: map[string]string{"proc/self/mountinfo": groupsRW}},
		"docker as it is": {
			files: map[string]string{
				".dockerenv": "", "proc/self/status": statusDefault, "proc/self/mountinfo": groupsRO + maskedKcore,
				"proc/self/attr/current": "docker-default (enforce)\n", "proc/self/uid_map": "0 0 4294967295\n",
			},
			what:   "this container (Docker) withholds what sandboxes need: missing capabilities (CAP_NET_ADMIN, CAP_SYS_ADMIN, CAP_SYS_PTRACE), a seccomp filter, an AppArmor profile, control groups that are mounted read-only",
			remedy: "add to docker run: --cap-add NET_ADMIN --cap-add SYS_ADMIN --cap-add SYS_PTRACE --security-opt seccomp=unconfined --security-opt apparmor=unconfined",
		},
		"docker, another user": {
			uid: 1000, noUsers: true,
			files:  map[string]string{".dockerenv": "", "proc/self/status": statusNobody, "proc/self/mountinfo": groupsRO},
			what:   "this container (Docker) withholds what sandboxes need: no root, and no user namespaces for others, missing capabilities (CAP_NET_ADMIN, CAP_SYS_ADMIN, CAP_SYS_PTRACE), a seccomp filter",
			remedy: "add to docker run: --user 0 --cap-add NET_ADMIN --cap-add SYS_ADMIN --cap-add SYS_PTRACE --security-opt seccomp=unconfined",
		},
		"docker, read-only groups alone": {
			files:  map[string]string{".dockerenv": "", "proc/self/status": statusAll, "proc/self/mountinfo": groupsRO},
			what:   "this container (Docker) withholds what sandboxes need: control groups that are mounted read-only",
			remedy: "add to docker run: --privileged",
		},
		"docker, a masked /proc": {
			files: map[string]string{
				".dockerenv": "", "proc/self/status": statusAll, "proc/self/mountinfo": groupsRW + maskedKcore, "proc/self/uid_map": "0 1000 1\n",
			},
			what:   "this container (Docker) withholds what sandboxes need: a /proc with masked parts",
			remedy: "add to docker run: --security-opt systempaths=unconfined",
		},
		"podman with SELinux": {
			files: map[string]string{
				"run/.containerenv": "engine=\"podman-4.3.1\"", "proc/self/status": statusDefault, "proc/self/mountinfo": groupsRO,
				"proc/self/attr/current": "system_u:system_r:container_t:s0:c1,c2\x00",
			},
			what:   "this container (Podman) withholds what sandboxes need: missing capabilities (CAP_NET_ADMIN, CAP_SYS_ADMIN, CAP_SYS_PTRACE), a seccomp filter, an SELinux label, control groups that are mounted read-only",
			remedy: "add to podman run: --cap-add NET_ADMIN --cap-add SYS_ADMIN --cap-add SYS_PTRACE --security-opt seccomp=unconfined --security-opt label=disable --security-opt unmask=/sys/fs/cgroup",
		},
		"kubernetes": {
			files: map[string]string{
				".dockerenv": "", "proc/self/environ": "PATH=/bin\x00KUBERNETES_SERVICE_HOST=10.0.0.1\x00", "proc/self/status": statusDefault,
				"proc/self/mountinfo": groupsRO, "proc/self/attr/apparmor/current": "cri-containerd.apparmor.d (enforce)\n",
			},
			what:   "this container (Kubernetes) withholds what sandboxes need: missing capabilities (CAP_NET_ADMIN, CAP_SYS_ADMIN, CAP_SYS_PTRACE), a seccomp filter, an AppArmor profile, control groups that are mounted read-only",
			remedy: "add to the container's securityContext: capabilities: {add: [NET_ADMIN, SYS_ADMIN, SYS_PTRACE]}, seccompProfile: {type: Unconfined}, appArmorProfile: {type: Unconfined}",
		},
		"nspawn": {
			files:  map[string]string{"run/host/container-manager": "systemd-nspawn\n", "proc/self/status": statusDefault},
			what:   "this container (systemd-nspawn) withholds what sandboxes need: missing capabilities (CAP_NET_ADMIN, CAP_SYS_ADMIN, CAP_SYS_PTRACE), a seccomp filter",
			remedy: "add to systemd-nspawn: --capability=CAP_NET_ADMIN,CAP_SYS_ADMIN,CAP_SYS_PTRACE --system-call-filter=@mount",
		},
		"a unit that takes too much": {
			files:  map[string]string{"proc/self/status": statusDefault, "proc/self/attr/current": "unconfined\n"},
			what:   "the daemon is started with less than sandboxes need: missing capabilities (CAP_NET_ADMIN, CAP_SYS_ADMIN, CAP_SYS_PTRACE)",
			remedy: "in a unit, CapabilityBoundingSet= must have CAP_NET_ADMIN CAP_SYS_ADMIN CAP_SYS_PTRACE; in a container, docker run --cap-add NET_ADMIN --cap-add SYS_ADMIN --cap-add SYS_PTRACE",
		},
		"an ordinary user of a host that allows none": {
			uid: 1000, noUsers: true, files: map[string]string{"proc/sys/user/max_user_namespaces": "0\n"},
			what:   "the daemon is started with less than sandboxes need: no root, and no user namespaces for others",
			remedy: "run as root, or sudo sysctl -w user.max_user_namespaces=15000",
		},
		"an ordinary user on Ubuntu": {
			uid: 1000, noUsers: true, files: map[string]string{"proc/sys/kernel/apparmor_restrict_unprivileged_userns": "1\n"},
			what:   "the daemon is started with less than sandboxes need: no root, and no user namespaces for others",
			remedy: "run as root, or install the AppArmor profile for sandwarden",
		},
		"an ordinary user who may": {uid: 1000},
	} {
		t.Run(name, func(t *testing.T) {
			h := good(test.uid)
			for file, text := range test.files {
				h.set(file, text)
			}
			if test.noUsers {
				h.probe = refuse(0)
			}
			what, remedy := h.explain(t.Context())
			if what != test.what || remedy != test.remedy {
				t.Errorf("got\n%s\n%s\nwant\n%s\n%s", what, remedy, test.what, test.remedy)
			}
		})
	}
}

// Each kind has a word for each obstacle, or the obstacle is not of its world.
func TestContainer_HasWords(t *testing.T) {
	for _, c := range []container{noContainer, docker, podman, kubernetes, nspawn} {
		for o := capabilitiesMissing; o <= ordinaryUser; o++ {
			elsewhere := c == nspawn && (o == appArmorConfines || o == seLinuxConfines) || c == noContainer && o == procMasked
			if got := c.flags([]obstacle{o}, []string{"CAP_SYS_ADMIN"}); (got == "") != elsewhere {
				t.Errorf("%s says %q of %s", c, got, o.what(nil))
			}
			if strings.Contains(o.what(nil), "unknown") {
				t.Errorf("obstacle %d has no name", o)
			}
		}
	}
}

// Doctor says it in the same words as the daemon.
func TestCheck_InContainers(t *testing.T) {
	for file, want := range map[string]string{".dockerenv": "docker run: --cap-add NET_ADMIN --cap-add SYS_ADMIN", "run/.containerenv": "podman run: --cap-add NET_ADMIN --cap-add SYS_ADMIN"} {
		h := good(0)
		h.root.(fstest.MapFS)[file] = &fstest.MapFile{}
		h.set("proc/self/status", statusDefault)
		for _, f := range h.capabilities() {
			if f.Level != Refuse || !strings.Contains(f.Remedy, want) {
				t.Errorf("%+v, want %q", f, want)
			}
		}
	}
}
