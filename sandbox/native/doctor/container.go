//go:build linux

package doctor

import (
	"bytes"
	"slices"
	"strings"
)

// A container is the kind of container that the daemon runs in: what it lacks
// is given to it in that kind's words.
type container int

const (
	noContainer container = iota // or one that does not say so
	docker
	podman
	kubernetes
	nspawn
)

// String returns the kind's name.
func (c container) String() string {
	switch c {
	case docker:
		return "Docker"
	case podman:
		return "Podman"
	case kubernetes:
		return "Kubernetes"
	case nspawn:
		return "systemd-nspawn"
	case noContainer:
	}
	return "this host"
}

// container looks for what each kind leaves inside. Kubernetes comes first, as
// it may have made the container with one of the others.
func (h *host) container() container {
	managers := h.read("run/host/container-manager") + h.read("run/systemd/container")
	switch {
	case h.variable("KUBERNETES_SERVICE_HOST") != "":
		return kubernetes
	case h.has("run/.containerenv"):
		return podman
	case h.has(".dockerenv"):
		return docker
	case strings.Contains(managers, "systemd-nspawn"), h.variable("container") == "systemd-nspawn":
		return nspawn
	}
	return noContainer
}

func (h *host) has(name string) bool {
	_, err := fsStat(h.root, name)
	return err == nil
}

// variable returns one of the environment that the daemon was started with.
func (h *host) variable(name string) string {
	for pair := range bytes.SplitSeq([]byte(h.read("proc/self/environ")), []byte{0}) {
		if value, ok := strings.CutPrefix(string(pair), name+"="); ok {
			return value
		}
	}
	return ""
}

// An obstacle is what keeps sandboxes from being made, or from having limits.
type obstacle int

const (
	capabilitiesMissing obstacle = iota
	seccompFilter
	appArmorConfines
	seLinuxConfines
	groupsReadOnly
	procMasked
	ordinaryUser
)

// what names an obstacle.
func (o obstacle) what(missing []string) string {
	switch o {
	case capabilitiesMissing:
		return "missing capabilities (" + strings.Join(missing, ", ") + ")"
	case seccompFilter:
		return "a seccomp filter"
	case appArmorConfines:
		return "an AppArmor profile"
	case seLinuxConfines:
		return "an SELinux label"
	case groupsReadOnly:
		return "control groups that are mounted read-only"
	case procMasked:
		return "a /proc with masked parts"
	case ordinaryUser:
		return "no root, and no user namespaces for others"
	}
	return "something unknown"
}

// flags returns what to add, in the words of a kind of container, so that the
// obstacles are gone. It is the one place that knows these words.
func (c container) flags(obstacles []obstacle, missing []string) string {
	var parts []string
	for _, o := range obstacles {
		if o == groupsReadOnly && c != podman && len(obstacles) > 1 {
			continue // the image's entrypoint opens them, once it may
		}
		if text := c.flag(o, missing); text != "" && !slices.Contains(parts, text) {
			parts = append(parts, text)
		}
	}
	if len(parts) == 0 {
		return ""
	}
	switch c {
	case docker:
		return "add to docker run: " + strings.Join(parts, " ")
	case podman:
		return "add to podman run: " + strings.Join(parts, " ")
	case nspawn:
		return "add to systemd-nspawn: " + strings.Join(parts, " ")
	case kubernetes:
		return "add to the container's securityContext: " + strings.Join(parts, ", ")
	case noContainer:
	}
	return strings.Join(parts, "; ")
}

// flag is one obstacle's part of flags.
func (c container) flag(o obstacle, missing []string) string {
	switch c {
	case docker:
		return ofDocker(o, missing)
	case podman:
		return ofPodman(o, missing)
	case kubernetes:
		return ofKubernetes(o, missing)
	case nspawn:
		return ofNspawn(o, missing)
	case noContainer:
	}
	return ofHost(o, missing)
}

func ofDocker(o obstacle, missing []string) string {
	switch o {
	case capabilitiesMissing:
		return "--cap-add " + strings.Join(bare(missing), " --cap-add ")
	case seccompFilter:
		return "--security-opt seccomp=unconfined"
	case appArmorConfines:
		return "--security-opt apparmor=unconfined"
	case seLinuxConfines:
		return "--security-opt label=disable"
	case groupsReadOnly:
		return "--privileged"
	case procMasked:
		return "--security-opt systempaths=unconfined"
	case ordinaryUser:
		return "--user 0"
	}
	return ""
}

// ofPodman differs where Podman has a finer word.
func ofPodman(o obstacle, missing []string) string {
	switch o {
	case groupsReadOnly:
		return "--security-opt unmask=/sys/fs/cgroup"
	case procMasked:
		return "--security-opt unmask=ALL"
	case capabilitiesMissing, seccompFilter, appArmorConfines, seLinuxConfines, ordinaryUser:
	}
	return ofDocker(o, missing)
}

func ofKubernetes(o obstacle, missing []string) string {
	switch o {
	case capabilitiesMissing:
		return "capabilities: {add: [" + strings.Join(bare(missing), ", ") + "]}"
	case seccompFilter:
		return "seccompProfile: {type: Unconfined}"
	case appArmorConfines:
		return "appArmorProfile: {type: Unconfined}"
	case seLinuxConfines:
		return "seLinuxOptions: {type: spc_t}"
	case groupsReadOnly:
		return "privileged: true"
	case procMasked:
		return "procMount: Unmasked"
	case ordinaryUser:
		return "runAsUser: 0"
	}
	return ""
}

func ofNspawn(o obstacle, missing []string) string {
	switch o {
	case capabilitiesMissing:
		return "--capability=" + strings.Join(missing, ",")
	case seccompFilter:
		return "--system-call-filter=@mount"
	case groupsReadOnly, procMasked:
		return "(with SYSTEMD_NSPAWN_API_VFS_WRITABLE=yes in its environment)"
	case ordinaryUser:
		return "--user=root"
	case appArmorConfines, seLinuxConfines:
	}
	return ""
}

// ofHost is for a daemon in no container that is known: a service, or by hand.
func ofHost(o obstacle, missing []string) string {
	switch o {
	case capabilitiesMissing:
		names := strings.Join(bare(missing), " --cap-add ")
		return "in a unit, CapabilityBoundingSet= must have " + strings.Join(missing, " ") + "; in a container, docker run --cap-add " + names
	case seccompFilter:
		return "in a unit, take out SystemCallFilter= and all else that filters calls, RestrictNamespaces= first; in a container, --security-opt seccomp=unconfined"
	case appArmorConfines:
		return "take the daemon out of its AppArmor profile"
	case seLinuxConfines:
		return "give the daemon an SELinux type that may mount"
	case groupsReadOnly:
		return "in a unit, ProtectControlGroups=no; elsewhere mount -o remount,rw /sys/fs/cgroup"
	case procMasked:
		return "" // only containers do so
	case ordinaryUser:
		return "run as root, or allow user namespaces"
	}
	return ""
}

// bare are capabilities as containers call them.
func bare(capabilities []string) []string {
	names := make([]string, len(capabilities))
	for i, name := range capabilities {
		names[i] = strings.TrimPrefix(name, "CAP_")
	}
	return names
}
