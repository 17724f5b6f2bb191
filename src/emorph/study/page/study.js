"use strict";

// Buttons that copy a text: they appear only where a script can do it.
for (const button of document.querySelectorAll("[data-copy]")) {
  const source = document.getElementById(button.dataset.copy);
  if (source instanceof HTMLAnchorElement) source.textContent = source.href;
  button.hidden = !navigator.clipboard;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(source.textContent);
    button.textContent = button.dataset.copied;
  });
}

const ARROWS = { ArrowLeft: "←", ArrowRight: "→", ArrowDown: "↓" };
const ARROW_NAMES = { "←": "ArrowLeft", "→": "ArrowRight", "↓": "ArrowDown" };
const study = document.getElementById("study");
if (study) begin();

async function begin() {
  const base = location.pathname.replace(/\/study$/, "");
  // What is on the screen: the question, when it appeared, and whether an answer is on its way.
  let present = null, shownAt = 0, isBusy = true;
  const pictures = new Map(); // name -> promise of a decoded <img>
  await ask(await send(`${base}/step`));

  function setBusy(value) {
    isBusy = value;
    study.setAttribute("aria-busy", String(value));
  }

  async function ask(step) {
    if (step.finished) {
      location.replace(study.dataset.home);
      return;
    }
    const isNewScreen = !present || present.slot !== step.slot;
    if (isNewScreen) await showPictures(step);
    present = step;
    showQuestion(step);
    await painted();
    shownAt = performance.now();
    setBusy(false);
    say("");
    for (const name of step.preload) decoded(name).catch(() => pictures.delete(name));
  }

  async function showPictures(step) {
    const place = element("pictures");
    element("asked").hidden = true;
    place.replaceChildren();
    const late = setTimeout(() => say(study.dataset.loading), 300);
    let images;
    try {
      images = await Promise.all(step.pictures.map((picture) => decoded(picture.file)));
    } catch {
      say(study.dataset.broken);
      throw new Error("a picture could not be loaded");
    } finally {
      clearTimeout(late);
    }
    const roles = step.pictures.map((picture) => picture.role);
    place.className = roles.includes("left") ? (roles.includes("original") ? "pair above" : "pair") : "single";
    place.append(...step.pictures.map((picture, i) => figure(picture, images[i].cloneNode(), roles.length > 1)));
    await Promise.all([...place.querySelectorAll("img")].map((image) => image.decode()));
    for (const name of pictures.keys()) if (!step.preload.includes(name)) pictures.delete(name);
  }

  function figure(picture, image, hasCaption) {
    const made = document.createElement("figure");
    made.className = picture.role;
    image.alt = picture.label;
    made.append(image);
    if (hasCaption) made.append(text("figcaption", picture.label));
    return made;
  }

  function showQuestion(step) {
    element("progress").textContent = filled(study.dataset.progress, step.screen, step.n_screens);
    element("step").textContent = step.n_steps > 1 ? filled(study.dataset.step, step.step, step.n_steps) : "";
    const done = step.screen - 1 + (step.step - 1) / step.n_steps;
    element("bar").value = done / step.n_screens;
    element("question").textContent = step.text;
    const answers = element("answers");
    answers.className = step.layout;
    answers.replaceChildren(...step.choices.map((choice) => button(choice)));
    if (step.ends.length) {
      const ends = text("p", "");
      ends.className = "ends";
      ends.append(...step.ends.map((end) => text("span", end)));
      answers.append(ends);
    }
    element("asked").hidden = false;
    answers.focus({ preventScroll: true }); // keys answer only while the focus is in here
  }

  function button(choice) {
    const made = text("button", "");
    made.type = "button";
    made.dataset.key = choice.key;
    made.append(text("span", choice.label));
    if (choice.shortcut !== choice.label) {
      const hint = text("kbd", choice.shortcut);
      hint.setAttribute("aria-hidden", "true");
      made.append(hint);
    }
    made.setAttribute("aria-keyshortcuts", ARROW_NAMES[choice.shortcut] ?? choice.shortcut);
    made.addEventListener("click", () => answer(choice.key));
    return made;
  }

  element("answers").addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || !present) return;
    const pressed = ARROWS[event.key] ?? event.key;
    const choice = present.choices.find((one) => one.shortcut === pressed);
    if (!choice) return;
    event.preventDefault();
    answer(choice.key);
  });

  async function answer(key) {
    if (isBusy) return;
    setBusy(true);
    const seconds = (performance.now() - shownAt) / 1000;
    element("answers").querySelector(`[data-key="${key}"]`).classList.add("chosen");
    const late = setTimeout(() => say(study.dataset.saving), 400);
    const body = JSON.stringify({ slot: present.slot, question: present.question, answer: key, seconds });
    const next = await send(`${base}/votes`, { method: "POST", headers: { "content-type": "application/json" }, body });
    clearTimeout(late);
    await ask(next);
  }

  // Try until it is answered: the server counts an answer once, however often it is sent.
  async function send(address, options) {
    for (let wait = 500; ; wait = Math.min(2 * wait, 8000)) {
      try {
        const response = await fetch(address, { cache: "no-store", ...options });
        if (response.ok) return await response.json();
        if (response.status < 500 && response.status !== 429 && response.status !== 408) {
          location.replace(study.dataset.home); // the page there says why
          return new Promise(() => {});
        }
      } catch { /* no connection: as if the server were busy */ }
      say(study.dataset.trouble);
      await new Promise((resolve) => setTimeout(resolve, wait));
    }
  }

  function decoded(name) {
    if (!pictures.has(name)) {
      const image = new Image();
      image.src = `${study.dataset.root}pictures/${name}`;
      pictures.set(name, image.decode().then(() => image));
    }
    return pictures.get(name);
  }
}

function say(message) { element("status").textContent = message; }
function element(id) { return document.getElementById(id); }

function text(tag, content) {
  const made = document.createElement(tag);
  made.textContent = content;
  return made;
}

function filled(template, n, total) {
  return template.replace("{n}", n).replace("{total}", total);
}

// Two frames: the first is being drawn when its callback runs, at the second it is on the screen.
function painted() {
  return new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
}
