package fault

import "github.com/sandwarden/sandwarden/sandbox"

// suggestions returns the contract's advice for a topic.
func suggestions(topic string) []string {
	switch topic {
	case "sessions":
		return []string{
			"Wait for existing sessions to complete or timeout",
			"Manually stop unused sessions to free up resources",
			"Consider increasing the maximum concurrent sessions limit",
			"Optimize your workflow to use fewer concurrent sessions",
		}
	case "memory":
		return []string{
			"Use a smaller sandbox flavor (small instead of large)",
			"Optimize your code to use less memory",
			"Stop unused sessions to free up memory",
			"Consider increasing the memory limit if possible",
		}
	case "cpu":
		return []string{
			"Use a smaller sandbox flavor to reduce CPU requirements",
			"Optimize your code to be more CPU efficient",
			"Wait for other processes to complete",
		}
	case "creation":
		return []string{
			"Verify that the microsandbox server is running and accessible",
			"Check if the specified template is supported (python, node)",
			"Ensure sufficient system resources are available",
			"Try using a smaller sandbox flavor (small instead of large)",
			"Check network connectivity to the microsandbox server",
		}
	case "code timeout":
		return []string{
			"Optimize your code to run faster",
			"Increase the execution timeout if needed",
			"Break down complex operations into smaller chunks",
		}
	case "code":
		return []string{
			"Review the error details and fix any code issues",
			"Try running the code in a fresh session",
			"Check if the sandbox environment supports your code requirements",
		}
	case "command timeout":
		return []string{
			"Increase the command timeout if needed",
			"Optimize the command to run faster",
			"Check if the command is hanging or waiting for input",
		}
	case "command":
		return []string{
			"Check the command syntax and arguments",
			"Review the command output for specific error details",
			"Try running the command in a fresh session",
		}
	case "session":
		return []string{
			"Verify the session ID is correct",
			"Check if the session has expired or been cleaned up",
			"Create a new session instead of trying to access the missing one",
			"List available sessions to see what's currently active",
		}
	case "execution":
		return []string{
			"Verify the execution ID is correct",
			"Check that the request has the token of whoever began the execution",
		}
	case "file":
		return []string{
			"Verify the path; a relative one begins at /work",
			"Check that the file is in this session and not in another",
		}
	case "configuration":
		return []string{
			"Review all configuration settings",
			"Check environment variables for typos or invalid values",
			"Refer to the configuration documentation",
		}
	}
	return []string{
		"Check current resource usage and clean up if possible",
		"Consider using smaller resource requirements",
		"Wait for resources to become available",
	}
}

// words says what a cause of death means, and what to do about it.
func words(cause sandbox.Cause) (what, remedy string) {
	switch cause {
	case sandbox.CauseNone:
		return "it was ended", "Run it again"
	case sandbox.CauseOOM:
		return "it used more memory than its flavor allows", "Use a larger flavor, or use less memory at a time"
	case sandbox.CauseWallTimeout:
		return "it ran longer than its timeout", "Increase the timeout, or do less at a time"
	case sandbox.CauseCPUTimeout:
		return "it used more processor time than is allowed", "Do less work at a time"
	case sandbox.CausePids:
		return "it had more processes and threads than its flavor allows", "Use a larger flavor, or start fewer processes"
	case sandbox.CauseDisk:
		return "it wrote more files than its flavor allows", "Use a larger flavor, or remove files that are not needed"
	case sandbox.CauseSeccomp:
		return "it made a system call that is forbidden in a sandbox", "Leave out what needs that system call"
	case sandbox.CauseEvicted:
		return "its session was ended to make room for another", "Run it again; a fresh session will be made"
	case sandbox.CauseIdle:
		return "its session was ended after being unused for too long", "Run it again; a fresh session will be made"
	case sandbox.CauseCrashed:
		return "its process ended without being asked to", "Run it again; if it ends again, look for what ends the process"
	case sandbox.CauseKilled:
		return "its session was stopped on request", "Run it again if that was not meant; a fresh session will be made"
	case sandbox.CauseShutdown:
		return "the server is shutting down", "Try again when the server is back"
	case sandbox.CauseAgentLost:
		return "its sandbox stopped answering", "Run it again; the session gets a fresh sandbox"
	case sandbox.CauseHostMemory:
		return "the host ran short of memory", "Try again later, or stop sessions that are not needed"
	}
	return "it was ended (" + string(cause) + ")", "Run it again"
}
