"use strict";

const byId = (id) => document.getElementById(id);
const picker = byId("model");
const withMaps = new Set(); // the models that say where they see a class
const indexes = new Map(); // of photos, by the models that have one
let waiting = 0; // photos without an answer,
let asked = 0, failed = 0; // and of all since nothing waited
let given = []; // the photos of the last drop, to ask another model about

// say tells what goes on, to people who see and who listen.
function say(text) { byId("status").textContent = text; }

// question is what the command line asks a model.
function question(model) {
  return "v1/classify?top=5" + (model ? "&model=" + encodeURIComponent(model) : "");
}

// pictured is what this page asks: for maps and photos alike, too, which are no sight as text.
function pictured(model) {
  return question(model) + (withMaps.has(model) ? "&maps=5" : "") + (indexes.has(model) ? "&neighbours=8" : "");
}

function showCommand() {
  byId("curl").textContent = "curl --data-binary @photo.jpg '" + new URL(question(picker.value), location.href) + "'";
}

async function loadModels() {
  const answer = await fetch("v1/models");
  const { models } = await answer.json();
  for (const m of models) {
    const o = new Option(m.ready ? `${m.name} (${m.classes} classes)` : `${m.name} (not ready)`, m.name);
    o.disabled = !m.ready;
    picker.add(o);
    if (m.maps) withMaps.add(m.name);
    if (m.index) indexes.set(m.name, m.index);
  }
  byId("picker").hidden = models.length < 2;
  byId("only").hidden = models.length !== 1;
  if (models.length === 1) byId("only").textContent = picker.options[0].text;
  showCommand();
}

// card makes a place for a photo's classes: after the card before it of the same drop,
// or in front of earlier drops. It names the model where there are several.
function card(name, blob, model, before) {
  const node = byId("card").content.firstElementChild.cloneNode(true);
  const img = node.querySelector("img");
  img.src = URL.createObjectURL(blob);
  img.alt = name;
  img.onload = () => URL.revokeObjectURL(img.src);
  img.onerror = () => { // a broken photo, or a format that the browser can't show
    URL.revokeObjectURL(img.src);
    img.hidden = true;
    node.querySelector(".look").hidden = node.querySelector("canvas").hidden;
  };
  node.querySelector("h2").textContent = shortened(name);
  node.querySelector("h2").title = name;
  node.querySelector("caption").textContent = "Classes of " + name;
  if (picker.options.length > 1) {
    const by = node.querySelector(".model");
    by.textContent = "Model: " + model;
    by.hidden = false;
  }
  if (before?.isConnected) before.after(node); // it isn't once the cards were cleared
  else byId("results").prepend(node);
  byId("clear").hidden = false;
  return node;
}

// bar is a rectangle as wide as the probability: an SVG, as a style attribute is not
// allowed to the page.
function bar(p) {
  const ns = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(ns, "svg");
  svg.setAttribute("aria-hidden", "true");
  const rect = document.createElementNS(ns, "rect");
  rect.setAttribute("height", "100%");
  rect.setAttribute("width", 100 * p + "%");
  svg.append(rect);
  return svg;
}

// percent has as many digits as say something.
function percent(p) {
  const v = 100 * p;
  return v >= 0.05 || v === 0 ? v.toFixed(1) : v >= 0.001 ? v.toFixed(3) : "< 0.001";
}

function fill(node, answer) {
  const body = node.querySelector("tbody");
  for (const p of answer.predictions) {
    const row = body.insertRow();
    const head = document.createElement("th");
    head.scope = "row";
    const label = document.createElement(p.map ? "button" : "span");
    label.className = "name";
    label.textContent = p.label;
    head.append(bar(p.probability), label);
    const value = document.createElement("span");
    value.textContent = percent(p.probability) + " %";
    row.append(head);
    row.insertCell().append(value);
  }
  if (answer.explained) explain(node, answer);
  if (answer.neighbours) compare(node, answer);
  const t = answer.timing_ms;
  node.querySelector(".timing").textContent =
    `waited ${time(t.queue)}, decoded in ${time(t.decode)}, classified in ${time(t.infer)}` + (t.search ? `, searched in ${time(t.search)}` : "");
}

function time(ms) { return ms.toFixed(1) + "\u00a0ms"; }

// compare shows the photos of the index that are most like this one: as tiles where they
// may be seen, else as a list.
function compare(node, answer) {
  const section = node.querySelector(".alike"), list = section.querySelector("ol");
  const index = indexes.get(answer.model) ?? { photos: 0, thumbnails: false };
  section.hidden = false;
  section.classList.toggle("tiles", index.thumbnails);
  section.querySelector("h3").textContent =
    answer.neighbours.length ? `Most alike of ${index.photos.toLocaleString("en")} ${index.photos === 1 ? "photo" : "photos"}` : "The index has no photos";
  for (const n of answer.neighbours) {
    const item = document.createElement("li");
    if (index.thumbnails) item.append(tile(n));
    const score = document.createElement("b"), name = document.createElement("span");
    score.textContent = n.score.toFixed(4);
    name.textContent = shortened(printable(n.file.split("/").pop()));
    item.title = printable(n.file);
    item.append(score, " ", name);
    list.append(item);
  }
  listUnshown(section);
}

// listUnshown has a list in place of tiles none of which can be seen.
function listUnshown(section) {
  const none = section.querySelectorAll(".none");
  if (!none.length || none.length < section.querySelectorAll("li").length) return;
  none.forEach((n) => n.remove());
  section.classList.remove("tiles");
  section.querySelector(".unshown").hidden = false;
}

// shortened leaves out the middle of a long name: names of photos differ at their ends.
function shortened(name) {
  const all = [...name];
  return all.length <= 48 ? name : all.slice(0, 20).join("") + "…" + all.slice(-24).join("");
}

// tile is a neighbour's picture. Its name is said beside it.
function tile(n) {
  const none = () => {
    const place = document.createElement("div");
    place.className = "none";
    place.textContent = "not shown";
    return place;
  };
  if (!n.thumbnail) return none();
  const img = new Image(224, 224);
  img.alt = "";
  img.loading = "lazy";
  img.decoding = "async";
  img.onerror = () => { // it is another photo now, or too many were asked for
    const section = img.closest(".alike");
    img.replaceWith(none());
    if (section) listUnshown(section);
  };
  img.src = "v1/" + n.thumbnail;
  return img;
}

// printable is a file's name with what can't be seen in it, or turns text around, as escapes.
function printable(name) {
  return name.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, (c) => c === "\n" ? "\\n" : "\\u{" + c.codePointAt(0).toString(16) + "}");
}

// explain lays a heat map over the photo: of the class whose button is pressed, and as
// strong as the slider says.
function explain(node, answer) {
  const maps = answer.predictions.filter((p) => p.map);
  const most = Math.max(...maps.map((p) => Math.max(...p.map.flat())), 1e-6); // one scale for all classes
  const canvas = node.querySelector("canvas");
  const slider = node.querySelector(".strength input");
  const buttons = node.querySelectorAll("button.name");
  for (const part of [".look", "canvas", ".strength", ".hint"]) node.querySelector(part).hidden = false;
  const fade = () => {
    canvas.style.opacity = slider.value / 100;
    slider.setAttribute("aria-valuetext", slider.value + " percent");
  };
  const show = (i) => {
    buttons.forEach((b, k) => b.setAttribute("aria-pressed", k === i));
    node.querySelector(".strength span").textContent = "Heat map: " + maps[i].label;
    paint(canvas, maps[i].map, most, answer.explained);
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `Where ${maps[i].label} is seen`);
  };
  buttons.forEach((b, i) => {
    b.type = "button";
    b.addEventListener("click", () => show(i));
  });
  slider.addEventListener("input", fade);
  const img = node.querySelector("img");
  if (img.hidden) slider.value = 100; // there is only the map
  const { width, height } = answer.explained, scale = Math.min(1, 480 / Math.max(width, height));
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
  fade();
  show(0);
}

// heat is inferno, at nine points of it, with what lies between them.
const heat = [[0, 0, 4], [27, 12, 65], [74, 12, 107], [120, 28, 109], [165, 44, 96], [207, 68, 70], [237, 105, 37], [251, 155, 6], [252, 255, 164]];

function colour(v) {
  const at = v * (heat.length - 1), i = Math.min(Math.floor(at), heat.length - 2), part = at - i;
  return heat[i].map((c, k) => c + part * (heat[i + 1][k] - c));
}

// paint draws what speaks for a class over what the network sees of the photo, linearly
// between the map's values; the rest of the photo is dimmed.
function paint(canvas, map, most, photo) {
  const { width, height } = canvas, rows = map.length, columns = map[0].length;
  const [left, top, right, bottom] = photo.seen;
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  const between = (at, n) => {
    const v = Math.max(0, Math.min(n - 1, at * n - 0.5)), i = Math.floor(v);
    return [i, Math.min(i + 1, n - 1), v - i];
  };
  for (let y = 0; y < height; y++) {
    const v = ((y + 0.5) * photo.height / height - top) / (bottom - top);
    const [above, below, down] = between(v, rows);
    for (let x = 0; x < width; x++) {
      const u = ((x + 0.5) * photo.width / width - left) / (right - left);
      const [before, after, across] = between(u, columns);
      const upper = map[above][before] + across * (map[above][after] - map[above][before]);
      const lower = map[below][before] + across * (map[below][after] - map[below][before]);
      const value = Math.max(0, Math.min(1, (upper + down * (lower - upper)) / most));
      const seen = u >= 0 && u <= 1 && v >= 0 && v <= 1;
      const [r, g, b] = seen ? colour(value) : [0, 0, 0];
      image.data.set([r, g, b, seen ? 255 * Math.min(1, 0.15 + 1.1 * value) : 150], 4 * (y * width + x));
    }
  }
  context.putImageData(image, 0, 0);
}

// inWords says what is wrong with a photo that the server doesn't take, "" where that isn't
// known: the server's own sentence has the place or the limit, and is told in any case.
function inWords(status, blob, sentence) {
  if (status === 400 && blob.size === 0) return "The file is empty.";
  if (status === 400 && /\bbroken \S+ image: /.test(sentence)) return "The photo is damaged."; // else the question is wrong
  if (status === 413) return "The photo is too large.";
  if (status === 415) return "This is not a photo that can be read.";
  return "";
}

// fail says on a card why it has no classes, and what there is to say of that in detail;
// nothing where it is asked again.
function fail(node, text, detail = "") {
  const p = node.querySelector(".told > .timing");
  node.classList.toggle("failed", text !== "");
  p.classList.toggle("bad", text !== "");
  p.textContent = text;
  const more = node.querySelector(".detail");
  more.textContent = detail;
  more.hidden = detail === "";
  node.querySelector("table").hidden = text !== "";
}

// retriable has a card ask again at the press of a button.
function retriable(node, ask) {
  const button = node.querySelector(".retry");
  button.hidden = false;
  button.onclick = () => {
    button.hidden = true;
    node.tabIndex = -1;
    node.focus(); // the button goes
    fail(node, "");
    begin(1);
    ask();
  };
}

// begin counts photos that are asked about.
function begin(photos) {
  if (!waiting) asked = failed = 0;
  waiting += photos;
  asked += photos;
  say(`Looking at ${waiting} ${waiting === 1 ? "photo" : "photos"} …`);
}

// classify fills a card with what the model answers.
async function classify(node, name, blob, model) {
  let told = "";
  const again = () => retriable(node, () => classify(node, name, blob, model));
  try {
    const answer = await fetch(pictured(model), { method: "POST", body: blob, headers: { "Content-Type": "application/octet-stream" } });
    const body = await answer.json();
    if (answer.ok) {
      fill(node, body);
      told = `${name}: ${body.predictions[0].label}, ${percent(body.predictions[0].probability)} percent`;
    } else {
      const after = answer.headers.get("Retry-After");
      const sentence = body.error.replace(/ \(--[a-z-]+\)/, "");
      const words = inWords(answer.status, blob, sentence);
      const why = answer.status === 429 ? "The server is busy" : words || sentence;
      failed++;
      fail(node, why + (after ? `. Try again in ${after} s.` : ""), words && sentence);
      if ([429, 503, 504].includes(answer.status)) again();
      told = `${name}: ${why}`;
    }
  } catch (e) {
    failed++;
    fail(node, "The server can't be reached.");
    again();
    told = "The server can't be reached.";
  }
  waiting--;
  say(waiting ? `Looking at ${waiting} more …` : asked === 1 ? told : `${asked - failed} of ${asked} classified` + (failed ? `, ${failed} failed` : ""));
}

// classifyAll asks the model chosen now about each photo, a few at a time, so that a
// gallery isn't refused. The cards are in the order of the files.
async function classifyAll(files) {
  const photo = (f) => f.type.startsWith("image/") || f.type === "";
  const list = [...files].filter(photo), others = [...files].filter((f) => !photo(f));
  byId("left").textContent = others.length ? "Left out, not a photo: " + others.map((f) => f.name).join(", ") : "";
  if (!list.length) { if (!waiting) say(others.length ? "" : "That was no photo."); return; }
  const model = picker.value;
  given = [...list];
  byId("again").hidden = true;
  begin(list.length);
  let last = null;
  const next = async () => {
    for (let f; (f = list.shift()); ) {
      const name = printable(f.name || "pasted photo");
      last = card(name, f, model, last);
      await classify(last, name, f, model);
    }
  };
  await Promise.all([next(), next()]);
}

let stream = null;

async function openCamera() {
  if (!navigator.mediaDevices || !navigator.mediaDevices.getUserMedia) { byId("capture").click(); return; }
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
  } catch (e) {
    say("The camera isn't available here. Choose a photo instead.");
    return;
  }
  byId("video").srcObject = stream;
  await byId("video").play();
  byId("live").hidden = false;
  byId("shoot").focus();
}

function closeCamera() {
  if (stream) for (const track of stream.getTracks()) track.stop();
  stream = null;
  byId("live").hidden = true;
  byId("camera").focus();
}

function shoot() {
  const video = byId("video");
  const canvas = document.createElement("canvas");
  canvas.width = video.videoWidth;
  canvas.height = video.videoHeight;
  canvas.getContext("2d").drawImage(video, 0, 0);
  canvas.toBlob((blob) => classifyAll([new File([blob], "camera", { type: blob.type })]), "image/jpeg", 0.92);
}

byId("file").addEventListener("change", (e) => { classifyAll(e.target.files); e.target.value = ""; });
byId("capture").addEventListener("change", (e) => { classifyAll(e.target.files); e.target.value = ""; });
byId("camera").addEventListener("click", openCamera);
byId("stop").addEventListener("click", closeCamera);
byId("shoot").addEventListener("click", shoot);
picker.addEventListener("change", () => {
  showCommand();
  byId("again").textContent = `Ask ${picker.value} about ${given.length === 1 ? "it" : "them"}, too`;
  byId("again").hidden = given.length === 0;
});
byId("again").addEventListener("click", () => {
  picker.focus(); // the button goes
  classifyAll(given);
});
byId("clear").addEventListener("click", () => {
  byId("results").replaceChildren();
  byId("clear").hidden = byId("again").hidden = true;
  given = [];
  say("");
  byId("left").textContent = "";
  byId("file").focus();
});
byId("copy").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText(byId("curl").textContent);
    say("Copied.");
  } catch (e) {
    say("Select the line and copy it.");
  }
});
addEventListener("paste", (e) => { if (e.clipboardData.files.length) classifyAll(e.clipboardData.files); });
addEventListener("dragover", (e) => { e.preventDefault(); byId("drop").classList.add("over"); });
addEventListener("dragleave", (e) => { if (!e.relatedTarget) byId("drop").classList.remove("over"); });
addEventListener("drop", (e) => {
  e.preventDefault();
  byId("drop").classList.remove("over");
  classifyAll(e.dataTransfer.files);
});
loadModels().catch(() => say("The server can't be reached."));
