import { greeting } from "./greeting.js";
import "./style.css";

const show = (words) => (document.querySelector("#greeting").textContent = words);
show(greeting);

// What a hot update must not lose, and a full reload must.
window.loaded = (window.loaded || 0) + 1;
window.heard = [];

if (import.meta.hot) {
  import.meta.hot.accept("./greeting.js", (module) => show(module.greeting));
  import.meta.hot.on("lab:question", (data) => {
    window.heard.push(data);
    import.meta.hot.send("lab:answer", { heard: data });
  });
}
