// Drives a daemon with the official TypeScript client and prints what it saw,
// one JSON value a line. What is right or wrong is for the test that reads it.
import { Ajv } from 'ajv';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';

const [url] = process.argv.slice(2);
const say = (step, value) => console.log(JSON.stringify({ step, ...value }));

const client = new Client({ name: 'sandwarden-test', version: '1' });
const transport = new StreamableHTTPClientTransport(new URL(url));
await client.connect(transport);
say('connect', { server: client.getServerVersion().name, session: Boolean(transport.sessionId) });

const { tools } = await client.listTools();
say('tools', { names: tools.map((tool) => tool.name) });
const ajv = new Ajv({ strict: false });
const checks = new Map(tools.map((tool) => [tool.name, ajv.compile(tool.outputSchema)]));

// call calls a tool, and says whether what came back is what the tool declares.
async function call(step, name, args, options) {
  const result = await client.callTool({ name, arguments: args }, undefined, { timeout: 60_000, ...options });
  say(step, {
    isError: Boolean(result.isError),
    text: result.content[0].text,
    structured: result.structuredContent,
    valid: checks.get(name)(result.structuredContent),
  });
  return result;
}

const code = (session_id, source, more) => ({ session_id, code: source, ...more });

await call('python', 'execute_code', code('py', 'x = 6 * 7\nprint("set")\nx'));
await call('python state', 'execute_code', code('py', 'x + 1'));
await call('node', 'execute_code', code('js', 'const x = await Promise.resolve(41); x + 1', { template: 'node' }));
await call('node state', 'execute_code', code('js', 'x + 2', { template: 'node' }));
await call('bash', 'execute_code', code('sh', 'x=42; cd /tmp', { template: 'bash' }));
await call('bash state', 'execute_code', code('sh', 'echo $x in $PWD', { template: 'bash' }));
await call('command', 'execute_command', { session_id: 'py', command: 'echo', args: ['a b', '$x'] });
await call('shell', 'execute_command', { session_id: 'py', command: 'echo out; echo err >&2; exit 3' });

// The code waits for a file that is made when its first output was seen here:
// output that only came at the end would never come.
let seen = '';
let values = [];
let early;
await call('progress', 'execute_code', code('py', `
import os, sys, time
print("begun ä", flush=True)
while not os.path.exists("/work/go"):
    time.sleep(0.005)
for i in range(2000):
    print("line", i)
    if i % 100 == 0:
        time.sleep(0.005)
print("ended 😀")`), {
  onprogress: ({ progress, message }) => {
    seen += message;
    values.push(progress);
    early ??= client.callTool({ name: 'execute_command', arguments: { session_id: 'py', command: 'touch /work/go' } });
  },
});
await early;
say('progress seen', { text: seen, rising: values.every((v, i) => i === 0 || v > values[i - 1]), count: values.length });

// An aborted call ends its work, and the session keeps its state.
const abort = new AbortController();
let reason = '';
try {
  await client.callTool({ name: 'execute_code', arguments: code('py', 'print("on", flush=True)\nwhile True: pass') }, undefined, {
    signal: abort.signal,
    onprogress: () => abort.abort('enough'),
  });
} catch (error) {
  reason = String(error);
}
say('abort', { reason });
await call('after abort', 'execute_code', code('py', 'x'));

await call('failure', 'execute_code', code('py', '1 / 0'));
await call('timeout', 'execute_code', code('py', 'while True: pass', { timeout: 1 }));
await call('bad name', 'execute_code', code('../etc', '1'));
await call('bad template', 'execute_code', code('new', '1', { template: 'cobol' }));
await call('bad type', 'execute_code', { code: 7 });

await call('sessions', 'get_sessions', {});
await call('stop', 'stop_session', { session_id: 'py' });
await call('stop again', 'stop_session', { session_id: 'py' });
await call('stop js', 'stop_session', { session_id: 'js' });
await call('stop sh', 'stop_session', { session_id: 'sh' });
await call('volumes', 'get_volume_path', {});

await transport.terminateSession();
await client.close();
say('end', {});
