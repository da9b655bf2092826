// A WebSocket that reconnects by itself.

const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 10_000;
// The server sends figures each second, so after this silence the connection is dead.
const SILENCE = 8_000;

/**
 * Keep a socket open until `close()`.
 *
 * @param open returns the address; called for each connection.
 * @param handlers `opened(send)`, `message(object)`, `lost()`; `ended()` when the
 *     server has nothing more to send.
 * @param chatty whether the server sends a message each second, so that silence means a lost connection.
 */
export function keepOpen(open, handlers, { chatty = false } = {}) {
  let socket = null;
  let closed = false;
  let connecting = false;
  let pause = FIRST_PAUSE;
  let timer = 0;
  let watchdog = 0;

  function resetWatchdog() {
    clearTimeout(watchdog);
    if (chatty) watchdog = setTimeout(() => drop(), SILENCE);
  }

  function drop() {
    if (!socket) return;
    const dead = socket;
    socket = null;
    dead.onclose = dead.onmessage = dead.onopen = null;
    dead.close();
    reconnectLater();
  }

  function reconnectLater() {
    clearTimeout(watchdog);
    socket = null;
    if (closed) return;
    handlers.lost?.();
    timer = setTimeout(connect, pause * (0.75 + Math.random() / 2));
    pause = Math.min(pause * 2, LONGEST_PAUSE);
  }

  async function connect() {
    clearTimeout(timer);
    let address;
    connecting = true;
    try {
      address = await open();
    } catch {
      return reconnectLater();
    } finally {
      connecting = false;
    }
    if (closed) return undefined;
    socket = new WebSocket(address);
    resetWatchdog();
    socket.onopen = () => {
      resetWatchdog();
      handlers.opened?.((message) => socket?.send(JSON.stringify(message)));
    };
    socket.onmessage = ({ data }) => {
      pause = FIRST_PAUSE;
      resetWatchdog();
      handlers.message(JSON.parse(data));
    };
    socket.onclose = ({ code }) => {
      if (code === 1000 && !closed) {
        closed = true;
        clearTimeout(watchdog);
        handlers.ended?.();
      } else reconnectLater();
    };
    return undefined;
  }

  // When the machine wakes up or the network returns, reconnect at once.
  const reconnectNow = () => {
    if (!socket && !closed && !connecting) connect();
  };
  addEventListener("online", reconnectNow);
  connect();

  return {
    close() {
      closed = true;
      removeEventListener("online", reconnectNow);
      clearTimeout(timer);
      clearTimeout(watchdog);
      if (!socket) return;
      socket.onmessage = socket.onclose = null;
      socket.close();
    },
  };
}
