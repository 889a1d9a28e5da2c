// One JSON object a line: commands on stdin, answers on stdout. The process ends when stdin does.
import readline from "node:readline";

export function answer(object) {
  process.stdout.write(JSON.stringify(object) + "\n");
}

export function serve(handle) {
  const input = readline.createInterface({ input: process.stdin });
  input.on("line", (line) => {
    const command = JSON.parse(line);
    Promise.resolve()
      .then(() => handle(command))
      .then(
        (outcome) => answer({ id: command.id, outcome }),
        (error) => answer({ id: command.id, failure: String((error && error.stack) || error) }),
      );
  });
  input.on("close", () => process.exit(0));
}

// Messages as the tests compare them: text as it is, bytes as hexadecimal digits.
export function shown(data, isBinary) {
  return isBinary ? "hex:" + Buffer.from(data).toString("hex") : data.toString();
}
