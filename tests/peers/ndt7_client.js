// M-Lab's ndt7 client under node: `node ndt7_client.js MODULES HOST:PORT ws|wss download|upload`.
// The client wants a browser's Worker and WebSocket; here a worker is the same script read into an object of
// its own. Prints the client's last words as one line of JSON.
'use strict';
const fs = require('node:fs');
const path = require('node:path');
const vm = require('node:vm');

const [modules, server, protocol, direction] = process.argv.slice(2);
const WebSocket = require(path.join(modules, 'ws'));
const home = path.join(modules, '@m-lab', 'ndt7', 'src');

global.Worker = class {
  constructor(file) {
    this.sockets = [];
    const sockets = this.sockets;
    const scope = {
      WebSocket: class extends WebSocket {
        constructor(...words) {
          super(...words, {perMessageDeflate: false, rejectUnauthorized: false});
          sockets.push(this);
        }
      },
      postMessage: (data) => this.onmessage({data}),
      performance, setTimeout, clearTimeout, Uint8Array, console,
    };
    scope.self = scope;
    vm.runInNewContext(fs.readFileSync(path.join(home, file), 'utf8'), scope);
    this.scope = scope;
  }
  postMessage(data) {
    this.scope.self.onmessage({data});
  }
  terminate() {
    this.sockets.forEach((socket) => socket.terminate());
  }
};

const ndt7 = require(path.join(home, 'ndt7.js'));
const config = {server, protocol, mlabDataPolicyInapplicable: true};
const said = {};
const callbacks = {
  error: (text) => { throw new Error(text); },
  downloadComplete: (data) => Object.assign(said, data),
  uploadComplete: (data) => Object.assign(said, data),
};
const test = direction === 'download' ? ndt7.downloadTest : ndt7.uploadTest;
const begun = performance.now();
test(config, callbacks, ndt7.discoverServerURLs(config, callbacks)).then((code) => {
  console.log(JSON.stringify({code, seconds: (performance.now() - begun) / 1000, ...said}));
  process.exit(code === 0 ? 0 : 1);
});
