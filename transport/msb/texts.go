package msb

// The codes of the API's own errors.
const (
	codeNoKey     = 1001
	codeBadKey    = 1004
	codeInvalid   = 2001
	codeForbidden = 3001
	codeNotFound  = 4001
	codeInternal  = 5002
)

// The codes of JSON-RPC that it answers with.
const (
	codeRequest = -32600
	codeMethod  = -32601
)

// The texts that clients know, word by word.
const (
	textHealthy   = "Service is healthy"
	textInternal  = "Internal server error"
	textNoKey     = "Invalid credentials"
	textBadKey    = "Invalid or expired token"
	textForbidden = "Access denied"

	textVersion   = "Invalid or missing jsonrpc version field"
	textMethod    = "Method not found: %s"
	textParams    = "Invalid params for %s: %s"
	textNotObject = "Request parameters must be an object containing 'sandbox' and 'namespace'"
	textNoSandbox = "Missing required 'sandbox' parameter for portal request"
	textNoSpace   = "Missing required 'namespace' parameter for portal request"

	textScopedRequest = "Invalid JSON-RPC request: %s"
	textScopedParams  = "Missing 'params' field in JSON-RPC request"
	textScopedSpace   = "Missing or invalid 'namespace' in params for method '%s'"

	textNoFolder = "Namespace directory '%s' does not exist"
	textNoConfig = "No configuration provided and no existing configuration found for sandbox '%s'"
	textUnknown  = "Sandbox '%s' not found in existing configuration"

	textStarted = "Sandbox %s started successfully"
	textStopped = "Sandbox %s stopped successfully"
	textTimeout = "Error: Execution timed out after %d seconds"
)

// The texts of names that will not do. The first of each is followed by what
// they are of.
const (
	textEmpty = " cannot be empty"
	textLong  = " cannot exceed 63 characters"
	textChars = " can only contain alphanumeric characters, hyphens, or underscores"
	textFirst = " must start with an alphanumeric character"
	textStar  = "Wildcard namespace (*) is not valid for sandbox creation"
)
