// Runs in the page: nothing but what any page can do.
export function converse({ url, protocols }) {
  return new Promise((resolve) => {
    const seen = { opened: false, messages: [], errors: 0 };
    const socket = new WebSocket(url, protocols || []);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      seen.opened = true;
      seen.protocol = socket.protocol;
      seen.extensions = socket.extensions;
    };
    socket.onmessage = ({ data }) => {
      if (typeof data !== "string") {
        const digits = [...new Uint8Array(data)].map((byte) => byte.toString(16).padStart(2, "0"));
        seen.messages.push("hex:" + digits.join(""));
        return;
      }
      seen.messages.push(data);
      if (!data.startsWith("cmd:")) return;
      const command = JSON.parse(data.slice(4));
      if (command.do === "close" && command.code !== undefined) socket.close(command.code, command.reason);
      else if (command.do === "close") socket.close();
      if (command.do === "send") socket.send(command.text);
    };
    socket.onerror = () => (seen.errors += 1);
    socket.onclose = ({ code, reason, wasClean }) => resolve({ ...seen, code, reason, wasClean });
  });
}
