// The part of the page that follows a moving slider: one picture is drawn at a time, and only the latest wish counts.
"use strict";

window.emorph = (() => {
  const facts = JSON.parse(document.getElementById("emorph-facts").textContent);
  const REST_MS = 250; // without a change, after which the exact picture is drawn
  const POLL_MS = 400;
  const wish = {
    number: 0, face: 1, kind: "expression", emotions: {}, valence: 0, arousal: 0, units: {}, strength: 1,
  };
  let tellKey;
  const key = new Promise((resolve) => { tellKey = resolve; });
  let photo = null, pending = null, flying = null, exactNumber = -1, resting = 0, stream = null;
  let past = [], future = [], told = {};

  const find = (selector) => document.querySelector(selector);
  const stage = () => find(".em-stage");

  function say(name, filled = {}) {
    return facts.words[name].replace(/\{(\w+)\}/g, (all, place) => (place in filled ? filled[place] : all));
  }

  function tell(text, { trouble = false } = {}) {
    const line = find(".em-said");
    line.textContent = text;
    line.classList.toggle("em-trouble", trouble);
  }

  async function address(what, query = {}) {
    const asked = new URLSearchParams({ lang: facts.language, ...query });
    return `../live/${await key}/${what}?${asked}`;
  }

  async function failed(response) {
    let message = say("trouble.lost");
    try { message = (await response.json()).message || message; } catch { /* no sentence came */ }
    tell(message, { trouble: true });
  }

  async function post(what, body, { query = {}, signal } = {}) {
    try {
      const response = await fetch(await address(what, query), { method: "POST", body, signal });
      if (response.ok) return response;
      await failed(response);
    } catch (error) {
      if (error.name !== "AbortError") tell(say("trouble.lost"), { trouble: true });
    }
    return null;
  }

  // -- the photo

  async function takePhoto(file) {
    if (!file) return;
    if (file.size > facts.mostBytes) {
      tell(say("trouble.upload", { most: Math.floor(facts.mostBytes / 2 ** 20) }), { trouble: true });
      return;
    }
    stopCamera();
    Object.assign(stage().dataset, { state: "reading", exact: false });
    tell(say("photo.reading"));
    const response = await post("photo", file, { query: { name: file.name || "photo.png" } });
    if (!response) {
      photo = null;
      showWhat("drop");
      return;
    }
    photo = await response.json();
    wish.face = photo.face;
    past = []; future = [];
    remember();
    find(".em-name").textContent = photo.name;
    find(".em-size").textContent = say("photo.size", { width: photo.own[0], height: photo.own[1] });
    const n = photo.faces.length;
    const found = (n === 1 ? say("photo.one") : say("photo.several", { n }))
      + (photo.leftOut ? say("photo.left_out", { n: photo.leftOut }) : "");
    tell(found);
    await showBefore();
    drawFrames();
    showWhat("view");
    wish.number += 1;
    const first = wish.number;
    await ask(false);
    if (first === exactNumber && first === wish.number) tell(found); // how long the first picture took can wait
  }

  async function showBefore() {
    const response = await fetch(await address("before"));
    const url = URL.createObjectURL(await response.blob());
    for (const place of [".em-before", ".em-after"]) {
      const image = find(place);
      image.src = url;
      image.width = photo.width;
      image.height = photo.height;
    }
    await find(".em-before").decode();
  }

  function showWhat(what) {
    for (const part of ["drop", "shoot", "view"]) find(`.em-${part}`).hidden = part !== what;
    stage().dataset.state = what === "view" ? "ready" : "empty";
  }

  function drawFrames() {
    const faces = find(".em-faces");
    faces.replaceChildren(...photo.faces.map(([number, left, top, right, bottom]) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "em-face";
      button.title = button.ariaLabel = say("photo.face", { n: number });
      Object.assign(button.style, {
        left: `${100 * left / photo.width}%`, top: `${100 * top / photo.height}%`,
        width: `${100 * (right - left) / photo.width}%`, height: `${100 * (bottom - top) / photo.height}%`,
      });
      button.dataset.number = number;
      button.addEventListener("click", () => { wish.face = number; markFace(); divideAtFace(); changed(); });
      return button;
    }));
    markFace();
    divideAtFace();
  }

  function divideAtFace() { // so that both sides of the divider show some of it
    const [, left, , right] = photo.faces.find(([number]) => number === wish.face);
    find(".em-divider").value = 100 * (left + right) / 2 / photo.width;
    divide();
  }

  function divide() {
    find(".em-frame").style.setProperty("--divider", `${find(".em-divider").value}%`);
  }

  function markFace() {
    for (const button of document.querySelectorAll(".em-face")) {
      button.setAttribute("aria-pressed", Number(button.dataset.number) === wish.face);
    }
    find(".em-faces").classList.toggle("em-single", photo.faces.length === 1);
  }

  async function startCamera() {
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "user" } });
    } catch {
      tell(say("photo.no_camera"), { trouble: true });
      return;
    }
    showWhat("shoot");
    find(".em-video").srcObject = stream;
    await find(".em-video").play();
  }

  function stopCamera() {
    if (!stream) return;
    stream.getTracks().forEach((track) => track.stop());
    stream = null;
    showWhat(photo ? "view" : "drop");
  }

  async function takePicture() {
    const video = find(".em-video"), canvas = document.createElement("canvas");
    canvas.width = video.videoWidth;
    canvas.height = video.videoHeight;
    canvas.getContext("2d").drawImage(video, 0, 0);
    const blob = await new Promise((resolve) => { canvas.toBlob(resolve, "image/png"); });
    await takePhoto(new File([blob], "camera.png"));
  }

  // -- wishes and their pictures

  function changed() {
    wish.number += 1;
    mark();
    if (!photo) {
      if (stage().dataset.state === "empty") tell(say("photo.first"));
      return;
    }
    stage().dataset.exact = false;
    ask(true);
    clearTimeout(resting);
    resting = setTimeout(() => { remember(); if (exactNumber < wish.number) ask(false); }, REST_MS);
  }

  function ask(sketch) {
    pending = { ...structuredClone(wish), sketch };
    if (flying && !flying.sketch) flying.aborter.abort(); // the server gives up an exact picture for a newer wish
    return flying && flying.sketch ? flying.done : fly();
  }

  async function fly() {
    while (pending) {
      const now = pending, aborter = new AbortController();
      pending = null;
      const mine = { sketch: now.sketch, aborter };
      flying = mine;
      mine.done = drawn(now, aborter.signal);
      await mine.done;
      if (flying !== mine) return; // a newer one has taken over
      flying = null;
    }
  }

  async function drawn(now, signal) {
    const watch = now.sketch ? 0 : setInterval(() => watchProgress(now), POLL_MS);
    const response = await post("draw", JSON.stringify(now), { signal });
    clearInterval(watch);
    if (!response || response.status !== 200) return;
    const content = await response.blob().catch(() => null);
    if (!content || now.number < shownNumber() || stage().dataset.state === "reading") return;
    await show(content);
    const isExact = response.headers.get("x-exact") === "1", seconds = Number(response.headers.get("x-seconds"));
    Object.assign(stage().dataset, { number: now.number, exact: isExact && now.number === wish.number });
    find(".em-progress").hidden = true;
    stage().dispatchEvent(new CustomEvent("emorph:shown", { detail: { wish: now, exact: isExact } }));
    if (isExact) {
      exactNumber = now.number;
      tell(say(seconds > 0.4 ? "edit.slow" : "edit.exact", { seconds: seconds.toFixed(seconds > 0.4 ? 1 : 2) }));
      await tellWords(now);
    } else tell(say("edit.sketch"));
  }

  const shownNumber = () => Number(stage().dataset.number || -1);

  async function show(content) {
    const image = find(".em-after"), before = image.src, url = URL.createObjectURL(content);
    image.src = url;
    await image.decode().catch(() => {});
    if (before !== find(".em-before").src) URL.revokeObjectURL(before);
  }

  async function watchProgress(now) {
    const response = await fetch(await address("progress")).catch(() => null);
    if (!response || !response.ok || flying === null || now.number < wish.number) return;
    const [done, total] = await response.json();
    if (!total) return;
    const bar = find(".em-progress");
    bar.hidden = false;
    bar.value = done / total;
    tell(say("edit.drawing", { done, total }));
  }

  async function tellWords(now) {
    const response = await post("words", JSON.stringify(now));
    if (!response) return;
    told = await response.json();
    showWords();
  }

  function showWords() {
    for (const [kind, text] of Object.entries(told)) {
      const place = find(`.em-code .em-${kind}`); // not there while it is folded
      if (place) place.textContent = text;
    }
  }

  // -- controls: Gradio tells of its own by calls, and takes values back as outputs of calls

  const kinds = { emotions: "expression", valence: "affect", arousal: "affect", units: "expression" };

  function set(part, name, value) {
    if (typeof value !== "number") return;
    wish.kind = kinds[part] || wish.kind;
    if (name) {
      if (value) wish[part][name] = value;
      else delete wish[part][name];
    } else wish[part] = value;
    if (part === "valence" || part === "arousal") placePoint();
    changed();
  }

  const controls = () => [
    ...facts.emotions.map((name) => wish.emotions[name] || 0), wish.strength, wish.valence, wish.arousal,
    ...facts.units.map((name) => wish.units[name] || 0),
  ];

  function only(emotion) {
    wish.kind = "expression";
    wish.emotions = { [emotion]: 1 };
    if (!wish.strength) wish.strength = 1;
    changed();
    return controls();
  }

  function mark() {
    for (const name of facts.emotions) {
      const button = find(`#emotion-${name}`);
      if (!button) continue;
      const share = wish.kind === "expression" ? wish.emotions[name] || 0 : 0;
      button.setAttribute("aria-pressed", share > 0);
      button.classList.toggle("em-chosen", share > 0);
    }
    for (const [id, isPossible] of [["em-undo", past.length > 1], ["em-redo", future.length > 0]]) {
      if (find(`#${id}`)) find(`#${id}`).ariaDisabled = String(!isPossible);
    }
  }

  function state() {
    const { number, ...rest } = wish;
    return JSON.stringify(rest);
  }

  function remember() {
    if (past.at(-1) === state()) return;
    past.push(state());
    future = [];
    mark();
  }

  function undo() {
    remember(); // a change so recent that no exact picture was drawn is a step, too
    if (past.length > 1) future.push(past.pop());
    return restored();
  }

  function redo() {
    remember();
    if (future.length) past.push(future.pop());
    return restored();
  }

  function restored() {
    if (past.length) Object.assign(wish, JSON.parse(past.at(-1)));
    if (photo) markFace();
    placePoint();
    changed();
    return controls();
  }

  function reset() {
    Object.assign(wish, { emotions: {}, units: {}, valence: 0, arousal: 0, strength: 1, kind: "expression" });
    placePoint();
    changed();
    return controls();
  }

  function placePoint() {
    const point = find(".em-point");
    if (point) Object.assign(point.style, { left: `${50 + 50 * wish.valence}%`, top: `${50 - 50 * wish.arousal}%` });
  }

  function attachPlane(element) {
    const plane = element.querySelector(".em-plane");
    const round = (x) => Math.round(Math.min(1, Math.max(-1, x)) * 100) / 100;
    const move = (event) => {
      const box = plane.getBoundingClientRect();
      wish.kind = "affect";
      wish.valence = round(2 * (event.clientX - box.left) / box.width - 1);
      wish.arousal = round(1 - 2 * (event.clientY - box.top) / box.height);
      placePoint();
      changed();
    };
    plane.addEventListener("pointerdown", (event) => { plane.setPointerCapture(event.pointerId); move(event); });
    plane.addEventListener("pointermove", (event) => { if (plane.hasPointerCapture(event.pointerId)) move(event); });
    plane.addEventListener("pointerup", () => find("#em-sync").click());
    placePoint();
  }

  // -- files

  async function save(what, suffix) {
    if (!photo) { tell(say("photo.first"), { trouble: true }); return; }
    tell(say("edit.making"));
    const response = await post(what, JSON.stringify(wish), { query: suffix ? { as: suffix } : {} });
    if (!response) return;
    const link = document.createElement("a");
    const stem = photo.name.replace(/\.[^.]*$/, "");
    link.download = what === "save" ? `${stem}_edited.${suffix}` : `${stem}_${what}.png`;
    link.href = URL.createObjectURL(await response.blob());
    link.click();
    URL.revokeObjectURL(link.href);
    tell(say("edit.saved", { name: link.download }));
  }

  // -- the stage itself

  function attachStage(element) {
    const own = element.querySelector(".em-stage");
    own.querySelectorAll(".em-file").forEach((input) => input.addEventListener("change", () => {
      takePhoto(input.files[0]);
      input.value = "";
    }));
    own.addEventListener("dragover", (event) => { event.preventDefault(); own.classList.add("em-over"); });
    own.addEventListener("dragleave", () => own.classList.remove("em-over"));
    own.addEventListener("drop", (event) => {
      event.preventDefault();
      own.classList.remove("em-over");
      takePhoto(event.dataTransfer.files[0]);
    });
    own.querySelectorAll(".em-camera").forEach((button) => button.addEventListener("click", startCamera));
    own.querySelector(".em-take").addEventListener("click", takePicture);
    own.querySelector(".em-stop").addEventListener("click", stopCamera);
    own.querySelector(".em-divider").addEventListener("input", divide);
    document.addEventListener("paste", (event) => {
      const [file] = [...event.clipboardData.files].filter((one) => one.type.startsWith("image/"));
      if (file) takePhoto(file);
    });
  }

  function attachCode(element) {
    showWords();
    element.querySelectorAll(".em-copy").forEach((button) => button.addEventListener("click", async () => {
      if (!await copied(element.querySelector(`.em-${button.dataset.of}`))) return;
      button.textContent = say("edit.copied");
      setTimeout(() => { button.textContent = say("edit.copy"); }, 2000);
    }));
  }

  async function copied(place) { // browsers have no clipboard on a page that comes over plain HTTP from elsewhere
    if (navigator.clipboard) return navigator.clipboard.writeText(place.textContent).then(() => true, () => false);
    getSelection().selectAllChildren(place); // if it is not copied either, it is ready to be
    return document.execCommand("copy");
  }

  // What Gradio says in English on every page: names of its controls, for those who listen, and the head of messages.
  const named = [["number input for ", "control.number"], ["range slider for ", "control.slider"]];

  function nameControls() {
    for (const [start, key] of named) {
      for (const control of document.querySelectorAll(`[aria-label^="${start}"]`)) {
        control.ariaLabel = say(key, { label: control.ariaLabel.slice(start.length) });
      }
    }
    for (const button of document.querySelectorAll('[aria-label="More tabs"]')) button.ariaLabel = say("control.tabs");
    for (const button of document.querySelectorAll('.toast-close[aria-label="Close"]')) {
      button.ariaLabel = say("control.close");
    }
    for (const [kind, own, key] of [["error", "Error", "trouble.title"], ["warning", "Warning", "trouble.early"]]) {
      for (const { firstChild } of document.querySelectorAll(`.toast-title.${kind}`)) {
        firstChild.data = firstChild.data.replace(own, say(key));
      }
    }
  }

  // Gradio names its empty places, but they have no role that a name could belong to; and the head of its messages is a
  // button that has another one inside.
  new MutationObserver(() => {
    if (find("#em-undo:not([aria-disabled])")) mark();
    nameControls();
    for (const place of document.querySelectorAll(".empty[aria-label]:not([role])")) place.setAttribute("role", "img");
    for (const head of document.querySelectorAll(".toast-header[role=button]")) head.removeAttribute("role");
    for (const button of document.querySelectorAll('[aria-label="common.upload"]')) { // a key of Gradio's without words
      button.ariaLabel = button.title = say("photo.choose");
    }
  }).observe(document, { childList: true, subtree: true });

  return {
    begin: (found) => tellKey(found), set, only, controls, reset, save, attachStage, attachPlane, attachCode,
    undo, redo,
  };
})();
