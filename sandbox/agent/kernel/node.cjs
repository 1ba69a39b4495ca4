// The Node kernel: runs cells of code for the agent, and keeps their state.
//
// The agent starts this file, with the parser acorn in front of it, with its
// end of a socket as descriptor 3, and speaks frames over it: four bytes of
// length, big-endian, then JSON. Node 18 or later.
//
// Cells are scripts of the main context. So that a name can be declared again
// by a later cell, and a cell may await, a cell is rewritten: what it declares
// at its top becomes an assignment to a variable of the global scope, which is
// declared once. Lines stay as they are, and columns mostly.

const fs = require('fs');
const net = require('net');
const path = require('path');
const util = require('util');
const vm = require('vm');
const { Module } = require('module');
const { Writable } = require('stream');
const { pathToFileURL } = require('url');

const largestRun = 4 << 20;
const largestResult = 64 << 10;
const largestMessage = 8 << 10;

// The user's code may replace what is global.
const { setImmediate, Promise } = globalThis;
const exitProcess = process.reallyExit.bind(process);

// Exit unwinds a cell that called process.exit.
class Exit {
  constructor(status) {
    this.status = status;
  }
}

// Interrupted is what a cell that SIGINT ended failed with.
class Interrupted extends Error {}
Object.defineProperty(Interrupted.prototype, 'name', { value: 'Interrupted' });

// Standard streams. Those of Node make the pipe non-blocking, for children
// too, and may still hold text when a cell is done. These do neither.

function writeAll(descriptor, data) {
  for (let at = 0; at < data.length; ) {
    try {
      at += fs.writeSync(descriptor, data, at);
    } catch (error) {
      if (error.code !== 'EAGAIN') throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
    }
  }
}

// The state of a Writable is left broken when SIGINT ends a write, so what is
// written passes it by.
function standardStream(descriptor) {
  const stream = new Writable();
  stream.fd = descriptor;
  stream._type = 'pipe';
  stream.write = (chunk, encoding, callback) => {
    if (typeof encoding === 'function') [encoding, callback] = [undefined, encoding];
    if (typeof chunk !== 'string' && !ArrayBuffer.isView(chunk)) {
      throw new TypeError('The "chunk" argument must be of type string or an instance of Buffer, TypedArray, or DataView');
    }
    let failure = null;
    try {
      writeAll(descriptor, typeof chunk === 'string' ? Buffer.from(chunk, encoding) : chunk);
    } catch (error) {
      failure = error; // the reader has gone
    }
    if (callback) process.nextTick(callback, failure);
    return true;
  };
  stream._destroy = (error, callback) => callback(error);
  stream.destroy = () => stream;
  stream.end = (chunk, encoding, callback) => { // as long as the kernel, not the cell
    if (typeof chunk === 'function') [chunk, callback] = [undefined, chunk];
    if (typeof encoding === 'function') [encoding, callback] = [undefined, encoding];
    if (chunk !== undefined && chunk !== null) stream.write(chunk, encoding);
    if (callback) process.nextTick(callback);
    return stream;
  };
  return stream;
}

for (const [name, descriptor] of [['stdout', 1], ['stderr', 2]]) {
  Object.defineProperty(process, name, {
    value: standardStream(descriptor), configurable: true, enumerable: true, writable: true,
  });
}
const { stdout, stderr } = process;

// Rewriting a cell.

const isFunction = (node) => /^(FunctionDeclaration|FunctionExpression|ArrowFunctionExpression)$/.test(node.type);

// visit calls enter on each node below one, with its parent; enter returns
// false to leave out what is below.
function visit(node, enter, parent) {
  if (enter(node, parent) === false) return;
  for (const key of Object.keys(node)) {
    const value = node[key];
    for (const child of Array.isArray(value) ? value : [value]) {
      if (child && typeof child.type === 'string') visit(child, enter, node);
    }
  }
}

// bound calls found on each identifier that a pattern binds or assigns.
function bound(pattern, found, shorthand) {
  switch (pattern && pattern.type) {
    case 'Identifier': return found(pattern, Boolean(shorthand));
    case 'ObjectPattern': return pattern.properties.forEach((p) => bound(p, found));
    case 'Property': return bound(pattern.value, found, pattern.shorthand);
    case 'ArrayPattern': return pattern.elements.forEach((p) => bound(p, found));
    case 'AssignmentPattern': return bound(pattern.left, found, shorthand);
    case 'RestElement': return bound(pattern.argument, found);
  }
}

// An Edit collects replacements of parts of a text.
class Edit {
  constructor(text) {
    this.text = text;
    this.parts = [];
  }

  replace(start, end, by) {
    this.parts.push({ start, end, by, order: this.parts.length });
  }

  insert(at, by) {
    this.replace(at, at, by);
  }

  // blank replaces by spaces, so that what follows keeps its place.
  blank(start, end, by = '') {
    const rest = this.text.slice(start, end).replace(/[^\n\r\u2028\u2029]/g, ' ');
    this.replace(start, end, by + rest.slice(by.length));
  }

  toString() {
    let result = '';
    let at = 0;
    for (const part of this.parts.sort((a, b) => a.start - b.start || a.order - b.order)) {
      result += this.text.slice(at, part.start) + part.by;
      at = Math.max(at, part.end);
    }
    return result + this.text.slice(at);
  }
}

const acornOptions = {
  ecmaVersion: 'latest',
  sourceType: 'script',
  allowAwaitOutsideFunction: true,
  allowImportExportEverywhere: true,
  allowHashBang: true,
};

// A Cell is the code of one, rewritten.
class Cell {
  constructor(source) {
    this.source = source;
    this.names = new Set(); // what it declares
    this.constants = new Set();
    this.async = false;
    this.main = new Edit(source);
    this.hoisted = []; // function declarations
    const { body } = this.program = acorn.parse(source, acornOptions);
    this.last = body.length > 0 && body[body.length - 1].type === 'ExpressionStatement' ? body[body.length - 1] : null;
    body.forEach((statement) => this.statement(statement));
    this.variables();
    this.constantsStay();
    this.wrap();
  }

  declare(pattern, constant) {
    bound(pattern, ({ name }) => {
      this.names.add(name);
      if (constant) this.constants.add(name);
    });
  }

  statement(node) {
    switch (node.type) {
      case 'VariableDeclaration':
        if (node.kind === 'let' || node.kind === 'const') this.assignments(node, this.main);
        break;
      case 'FunctionDeclaration':
        this.hoist(node);
        break;
      case 'ClassDeclaration':
        this.names.add(node.id.name);
        this.main.insert(node.start, `;${node.id.name}=`);
        this.main.insert(node.end, ';');
        break;
      case 'ImportDeclaration':
        this.imports(node);
        break;
      case 'ExportNamedDeclaration':
        if (node.source || !node.declaration) return this.main.blank(node.start, node.end, ';');
        this.main.blank(node.start, node.declaration.start);
        return this.statement(node.declaration);
      case 'ExportDefaultDeclaration':
        if (node.declaration.id) {
          this.main.blank(node.start, node.declaration.start);
          return this.statement(node.declaration);
        }
        this.main.blank(node.start, node.declaration.start, ';(');
        this.main.insert(node.declaration.end, ');');
        break;
      case 'ExportAllDeclaration':
        this.main.blank(node.start, node.end, ';');
        break;
    }
  }

  // assignments turns a declaration into a statement that assigns. alone: it
  // is the body of an if or a loop, without braces.
  assignments(node, edit, alone) {
    const keyword = node.start + node.kind.length;
    edit.replace(node.start, keyword, (alone ? '{' : ';').padEnd(node.kind.length - 1) + '(');
    for (const { id, init, end } of node.declarations) {
      this.declare(id, node.kind === 'const');
      if (!init && node.kind !== 'var') edit.insert(end, '=void 0');
    }
    const last = node.declarations[node.declarations.length - 1].end;
    edit.insert(last, ');');
    if (alone) edit.insert(node.end, '}');
  }

  // hoist takes a function out of the main script: it is to exist before.
  hoist(node) {
    this.names.add(node.id.name);
    this.hoisted.push(node);
    this.main.blank(node.start, node.end, ';');
  }

  imports(node) {
    const from = `(await import(${node.source.raw}))`;
    const named = [];
    let text = ';';
    for (const { type, local, imported } of node.specifiers) {
      this.names.add(local.name);
      this.constants.add(local.name);
      if (type === 'ImportNamespaceSpecifier') text += `${local.name}=${from};`;
      if (type === 'ImportDefaultSpecifier') named.push(`default:${local.name}`);
      if (type === 'ImportSpecifier') named.push(`${imported.name || imported.raw}:${local.name}`);
    }
    if (named.length > 0) text += `({${named.join()}}=${from});`;
    if (node.specifiers.length === 0) text += `${from};`;
    this.async = true;
    // As many lines as before.
    this.main.replace(node.start, node.end, text + this.source.slice(node.start, node.end).replace(/[^\n]/g, ''));
  }

  // variables finds awaits, and each var that belongs to the cell itself.
  variables() {
    const single = /^(IfStatement|ForStatement|ForInStatement|ForOfStatement|WhileStatement|DoWhileStatement|LabeledStatement|WithStatement)$/;
    visit(this.program, (node, parent) => {
      if (node.type === 'AwaitExpression' || (node.type === 'ForOfStatement' && node.await)) this.async = true;
      if (isFunction(node)) return false;
      if (/^(PropertyDefinition|StaticBlock)$/.test(node.type)) return false;
      if (node.type !== 'VariableDeclaration' || node.kind !== 'var') return true;
      if (/^For/.test(parent.type) && parent.body !== node) {
        node.declarations.forEach(({ id }) => this.declare(id));
        this.main.blank(node.start, node.start + 3);
      } else {
        this.assignments(node, this.main, single.test(parent.type));
      }
      return true;
    });
  }

  // constantsStay makes an assignment to a constant of this cell fail, where no
  // other declaration of the name makes it doubtful which is meant.
  constantsStay() {
    if (this.constants.size === 0) return;
    const declared = new Map();
    const assigned = [];
    const add = ({ name }) => declared.set(name, (declared.get(name) || 0) + 1);
    visit(this.program, (node) => {
      if (node.type === 'VariableDeclarator' || (/^(Function|Class)/.test(node.type) && node.id)) bound(node.id, add);
      if (isFunction(node)) node.params.forEach((p) => bound(p, add));
      if (node.type === 'CatchClause') bound(node.param, add);
      if (/^Import.*Specifier$/.test(node.type)) add(node.local);
      const target = { AssignmentExpression: node.left, ForInStatement: node.left, ForOfStatement: node.left, UpdateExpression: node.argument }[node.type];
      if (target && target.type !== 'VariableDeclaration') bound(target, (id, shorthand) => assigned.push({ id, shorthand }));
    });
    for (const { id, shorthand } of assigned) {
      if (!this.constants.has(id.name) || declared.get(id.name) !== 1) continue;
      if (this.hoisted.some((f) => f.start <= id.start && id.end <= f.end)) continue;
      this.main.insert(id.start, `${shorthand ? `${id.name}:` : ''}__sandwarden_constants.`);
    }
  }

  // wrap makes a function of a cell that awaits, and lets it return the value
  // of its last expression, in an object, as a promise would be awaited. What
  // it adds stands where it moves no column, if it can.
  wrap() {
    this.prefix = '';
    if (!this.async) return;
    this.prefix = '(async()=>{';
    if (!this.last) return;
    const before = this.program.body[this.program.body.length - 2];
    if (before) this.main.insert(before.end, ';return{value:(');
    else this.prefix += 'return{value:(';
    if (this.source[this.last.end - 1] === ';') this.main.blank(this.last.end - 1, this.last.end);
    this.main.insert(this.last.end, ')};');
  }

  functions() {
    if (this.hoisted.length === 0) return null;
    const edit = new Edit(this.source);
    let at = 0;
    for (const node of this.hoisted) {
      this.keepDirectives(edit, at, node.start);
      // "async function* f(" becomes "f=async function*(": as long as before.
      const head = this.source.slice(node.start, node.id.start).replace(/\s$/, '');
      edit.replace(node.start, node.id.end, `${node.id.name}=${head}`);
      edit.insert(node.end, ';');
      at = node.end;
    }
    this.keepDirectives(edit, at, this.source.length);
    return edit.toString();
  }

  keepDirectives(edit, from, to) {
    const last = this.program.body.filter((node) => node.directive && node.start >= from && node.end <= to).pop();
    edit.blank(last ? last.end : from, to);
  }

  // scripts returns what to run, in order, with the options that put errors
  // where the user sees them.
  scripts() {
    const scripts = [];
    const functions = this.functions();
    if (functions !== null) scripts.push({ code: functions, columnOffset: 0 });
    const main = this.main.toString();
    const code = this.async ? `${this.prefix}${main}\n})` : main;
    scripts.push({ code, columnOffset: -this.prefix.length });
    return scripts;
  }
}

// parse returns a Cell, or throws a SyntaxError that is told as Node does.
function parse(text, name) {
  const source = text.replace(/^#!/, '//'); // it may not stay in front
  if (/^\s*\{/.test(source) && !/;\s*$/.test(source)) { // an object, as at a prompt
    try {
      return new Cell(`(${source}\n)`);
    } catch {
      // a block, then
    }
  }
  try {
    return new Cell(source);
  } catch (error) {
    if (!(error instanceof SyntaxError) || !error.loc) throw error;
    throw syntaxError(error, source, name);
  }
}

function syntaxError(error, source, name) {
  const { line, column } = error.loc;
  const text = source.split('\n')[line - 1] || '';
  const told = new SyntaxError(error.message.replace(/ \(\d+:\d+\)$/, ''));
  told.stack = `${name}:${line}\n${text.slice(0, 500)}\n${' '.repeat(Math.min(column, 500))}^\n\nSyntaxError: ${told.message}`;
  return told;
}

// What cells see.

const declared = new Set();

// declare makes variables of the global scope, once each. One that hides a
// global begins with its value, in case the cell fails before it assigns.
function declare(names) {
  for (const name of names) {
    if (declared.has(name)) continue;
    const value = name in globalThis ? `=globalThis[${JSON.stringify(name)}]` : '';
    new vm.Script(`let ${name}${value}`, { filename: __filename }).runInThisContext();
    declared.add(name);
  }
}

const hidden = (value) => ({ value, configurable: true, writable: true });

function install() {
  const here = process.cwd();
  const home = new Module(path.join(here, 'cell.js'), null);
  home.filename = home.id;
  home.paths = Module._nodeModulePaths(here);
  process.mainModule = home; // so that require.main === module
  process.argv.length = 1;
  process.exit = process.reallyExit = leave;
  Object.defineProperties(globalThis, {
    require: hidden(Module.createRequire(home.filename)),
    module: hidden(home),
    exports: hidden(home.exports),
    __filename: hidden(home.filename),
    __dirname: hidden(here),
    __sandwarden_constants: {
      value: new Proxy({}, {
        get: (target, name) => globalThis[name],
        set() {
          throw new TypeError('Assignment to constant variable.');
        },
      }),
    },
    __sandwarden_call: { get: () => called },
  });
}

// importModule is for versions of Node that cannot be asked to import as the
// main program does.
function importModule(specifier) {
  if (/^\.{0,2}\//.test(specifier)) specifier = pathToFileURL(path.resolve(specifier)).href;
  else if (!/^\w+:/.test(specifier) && !Module.builtinModules.includes(specifier)) {
    specifier = pathToFileURL(globalThis.require.resolve(specifier)).href;
  }
  return import(specifier);
}

const importModuleDynamically = (vm.constants && vm.constants.USE_MAIN_CONTEXT_DEFAULT_LOADER) || importModule;

// guarded calls what is the user's so that SIGINT can break it.
let called;
const caller = new vm.Script('__sandwarden_call()', { filename: __filename });

function guarded(call) {
  let value;
  called = () => { value = call(); };
  try {
    caller.runInThisContext({ breakOnSigint: true, displayErrors: false });
  } catch (error) {
    if (error && error.code === 'ERR_SCRIPT_EXECUTION_INTERRUPTED') throw new Interrupted('the execution was interrupted');
    throw error;
  } finally {
    called = undefined;
  }
  return value;
}

// Running cells.

let running = null; // the cell that runs
let cells = 0;

// A Run is one cell under way.
class Run {
  constructor(id) {
    this.id = id;
    this.exit = undefined;
    this.stop = () => {};
  }

  // settled waits for a promise, SIGINT, process.exit, or the time when nothing
  // is left that could settle it. It returns whether it is settled.
  settled(promise) {
    if (this.exit !== undefined) return Promise.reject(new Exit(this.exit));
    return new Promise((resolve, reject) => {
      this.stop = reject;
      this.drained = () => resolve(false);
      Promise.prototype.then.call(promise, () => resolve(true), () => resolve(true));
      control.unref(); // the loop may end: see beforeExit
    }).finally(() => {
      this.stop = () => {};
      this.drained = undefined;
      control.ref();
    });
  }
}

function leave(code) {
  const status = Number(code === undefined ? process.exitCode : code) & 0xff;
  if (running) {
    if (running.exit === undefined) running.exit = status;
    running.stop(new Exit(status));
  }
  throw new Exit(status);
}

async function evaluate(run, source) {
  const name = `cell-${++cells}`;
  const cell = parse(source, name);
  declare(cell.names);
  const scripts = cell.scripts().map(({ code, columnOffset }) =>
    new vm.Script(code, { filename: name, columnOffset, importModuleDynamically }));
  let value = guarded(() => {
    let completion;
    for (const script of scripts) completion = script.runInThisContext({ displayErrors: false });
    return cell.async ? completion() : completion;
  });
  if (cell.async) {
    if (!await run.settled(value)) {
      throw new Error('the cell awaits a promise that nothing is left to settle');
    }
    const returned = await value;
    value = returned && returned.value;
  } else if (!cell.last) {
    value = undefined;
  }
  if (util.types.isPromise(value)) {
    // As a program would, wait for main(); but show the promise, not its value.
    if (await run.settled(value)) await rejection(value);
  }
  return { value }; // not as it is: it may be a promise
}

// rejection throws what a settled promise was rejected with.
async function rejection(promise) {
  await Promise.prototype.then.call(promise, () => {});
}

function show({ value }) {
  if (value === undefined) return undefined;
  Object.defineProperty(globalThis, '_', hidden(value));
  const text = guarded(() => util.inspect(value));
  stdout.write(`${text}\n`);
  return cut(text, largestResult);
}

async function perform(id, source) {
  const run = running = new Run(id);
  const done = { id, ok: true };
  prepare();
  try {
    done.result = show(await evaluate(run, source));
  } catch (error) {
    fail(done, error);
  }
  await new Promise((resolve) => { setImmediate(resolve); }); // what is ready belongs to the cell
  const exit = run.exit === undefined ? process.exitCode : run.exit;
  if (exit !== undefined) {
    done.exit = Number(exit) & 0xff;
    done.ok = done.ok && done.exit === 0;
  }
  running = null;
  send({ done });
}

// prepare undoes what an earlier cell did to the kernel's own footing.
function prepare() {
  process.exitCode = undefined;
  for (const [event, listener] of listeners) {
    if (!process.listeners(event).includes(listener)) process.on(event, listener);
  }
}

function fail(done, error) {
  if (error instanceof Exit) return;
  done.ok = false;
  done.interrupted = error instanceof Interrupted;
  done.failure = { name: 'Error', message: '' };
  try {
    guarded(() => {
      const isError = typeof error === 'object' && error !== null;
      done.failure.name = cut(String(isError ? error.name || 'Error' : 'Error'), 256);
      done.failure.message = cut(String(isError ? error.message || '' : error), largestMessage);
    });
  } catch {
    // what can be told has been
  }
  report(error);
}

function report(error) {
  let text;
  try {
    text = guarded(() => util.inspect(error));
  } catch {
    text = 'an error that cannot be shown';
  }
  if (error instanceof Interrupted) text = 'Interrupted';
  stderr.write(`Uncaught ${text.split('\n').filter((line) => !isOurs(line)).join('\n')}\n`);
}

// isOurs tells of a line of a stack trace that is not the user's.
function isOurs(line) {
  return /^\s+at /.test(line) && (line.includes(__filename) || line.includes('(node:vm:') || / \(?node:internal\//.test(line));
}

// cut shortens text to a size in bytes of UTF-8, between characters.
function cut(text, size) {
  const data = Buffer.from(text.slice(0, size));
  if (data.length <= size) return data.toString();
  while (size > 0 && (data[size] & 0xc0) === 0x80) size--;
  return data.toString('utf8', 0, size);
}

// What happens outside of a cell's own flow is told, and ends nothing.
const listeners = [
  ['uncaughtException', (error) => { if (!(error instanceof Exit)) report(error); }],
  ['unhandledRejection', (error) => { if (!(error instanceof Exit)) report(error); }],
  ['SIGINT', () => { if (running) running.stop(new Interrupted('the execution was interrupted')); }],
  ['beforeExit', () => {
    control.ref();
    if (running && running.drained) running.drained();
  }],
];

// The control channel.

const control = new net.Socket({ fd: 3, readable: true, writable: true });
const end = () => exitProcess(0);
control.on('end', end).on('close', end).on('error', end);

function send(message) {
  const body = Buffer.from(JSON.stringify(message));
  const head = Buffer.alloc(4);
  head.writeUInt32BE(body.length);
  control.write(Buffer.concat([head, body]));
}

// take has this process take on a session's directory and variables.
function take(settings) {
  const [directory, ...pairs] = settings.split('\0');
  let ok = true;
  try {
    for (const pair of pairs) {
      const at = pair.indexOf('=');
      process.env[pair.slice(0, at)] = pair.slice(at + 1);
    }
    if (directory) process.chdir(directory);
  } catch {
    ok = false;
  }
  send({ done: { id: 'bind', ok } });
}

let parts = [];
let size = 0;
control.on('data', (data) => {
  parts.push(data);
  size += data.length;
  while (size >= 4) {
    if (parts[0].length < 4) parts = [Buffer.concat(parts)];
    const wanted = 4 + parts[0].readUInt32BE();
    if (wanted > 4 + largestRun) exitProcess(1);
    if (size < wanted) return;
    const all = Buffer.concat(parts);
    parts = [all.subarray(wanted)];
    size -= wanted;
    const { run, bind } = JSON.parse(all.toString('utf8', 4, wanted));
    if (run) perform(run.id, run.code);
    else take(bind);
  }
});

install();
prepare();
send({ ready: { version: process.versions.node } });
