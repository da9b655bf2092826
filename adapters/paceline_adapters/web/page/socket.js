// A socket that comes again by itself, with the place it had.

const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 10_000;
// The server tells the figures each second: after so long a silence the line is dead.
const SILENCE = 8_000;

/**
 * Keep a socket open until `close()`.
 *
 * @param open gives the address, each time anew.
 * @param handlers `opened(send)`, `message(object)`, `lost()`; `over()` when the server has
 *     nothing more to tell.
 * @param chatty whether the server is known to speak each second, so that silence means loss.
 */
export function keepOpen(open, handlers, { chatty = false } = {}) {
  let socket = null;
  let closed = false;
  let connecting = false;
  let pause = FIRST_PAUSE;
  let timer = 0;
  let watchdog = 0;

  function heard() {
    clearTimeout(watchdog);
    if (chatty) watchdog = setTimeout(() => drop(), SILENCE);
  }

  function drop() {
    if (!socket) return;
    const dead = socket;
    socket = null;
    dead.onclose = dead.onmessage = dead.onopen = null;
    dead.close();
    again();
  }

  function again() {
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
      return again();
    } finally {
      connecting = false;
    }
    if (closed) return undefined;
    socket = new WebSocket(address);
    heard();
    socket.onopen = () => {
      heard();
      handlers.opened?.((message) => socket?.send(JSON.stringify(message)));
    };
    socket.onmessage = ({ data }) => {
      pause = FIRST_PAUSE;
      heard();
      handlers.message(JSON.parse(data));
    };
    socket.onclose = ({ code }) => {
      if (code === 1000 && !closed) {
        closed = true;
        clearTimeout(watchdog);
        handlers.over?.();
      } else again();
    };
    return undefined;
  }

  // A machine that wakes up, or a network that is back, does not wait for the pause to end.
  const now = () => {
    if (!socket && !closed && !connecting) connect();
  };
  addEventListener("online", now);
  connect();

  return {
    close() {
      closed = true;
      removeEventListener("online", now);
      clearTimeout(timer);
      clearTimeout(watchdog);
      if (!socket) return;
      socket.onmessage = socket.onclose = null;
      socket.close();
    },
  };
}
