package bench

import (
	"context"
	"fmt"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// A Machine is where the harness ran. What could not be found out is empty or
// zero; elsewhere than on Linux that is most of it.
type Machine struct {
	OS     string  `json:"os"`
	Arch   string  `json:"arch"`
	CPU    string  `json:"cpu,omitempty"` // the model
	Cores  int     `json:"cores"`         // that the harness may use
	Memory int64   `json:"memory_bytes,omitempty"`
	Kernel string  `json:"kernel,omitempty"`
	Cgroup int     `json:"cgroup,omitempty"` // the version, 1 or 2
	Load   float64 `json:"load1,omitempty"`  // processes that ran or wanted to in the minute before
	Go     string  `json:"go"`               // that built the harness
	Python string  `json:"python,omitempty"` // the version of the baseline's
}

// thisMachine looks around. It takes as long as a python3 takes to start.
func thisMachine(ctx context.Context, python string) Machine {
	m := Machine{
		OS: runtime.GOOS, Arch: runtime.GOARCH, Cores: runtime.NumCPU(), Go: runtime.Version(),
		Python: pythonVersion(ctx, python),
	}
	look(&m)
	return m.clean()
}

// pythonVersion asks an interpreter, or returns nothing.
func pythonVersion(ctx context.Context, python string) string {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, python, "-I", "-c", "import platform; print(platform.python_version())").Output()
	if err != nil {
		return ""
	}
	return clean(string(out))
}

func (m Machine) clean() Machine {
	m.OS, m.Arch, m.CPU = clean(m.OS), clean(m.Arch), clean(m.CPU)
	m.Kernel, m.Go, m.Python = clean(m.Kernel), clean(m.Go), clean(m.Python)
	return m
}

// String is the machine in one line.
func (m Machine) String() string {
	parts := []string{m.OS + "/" + m.Arch}
	add := func(known bool, format string, value any) {
		if known {
			parts = append(parts, fmt.Sprintf(format, value))
		}
	}
	add(m.Cores > 0, "%v", plural(m.Cores, "CPU"))
	add(m.CPU != "", "%s", m.CPU)
	add(m.Memory > 0, "%.1f GiB", float64(m.Memory)/(1<<30))
	add(m.Kernel != "", "kernel %s", m.Kernel)
	add(m.Cgroup > 0, "cgroup v%d", m.Cgroup)
	add(m.Go != "", "%s", m.Go)
	add(m.Python != "", "Python %s", m.Python)
	add(m.Load > 0, "load %.2f before", m.Load)
	return strings.Join(parts, ", ")
}
