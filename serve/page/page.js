"use strict";

const byId = (id) => document.getElementById(id);
const picker = byId("model");
let waiting = 0;

// say tells what goes on, to people who see and who listen.
function say(text) { byId("status").textContent = text; }

function route() {
  const model = picker.value ? "&model=" + encodeURIComponent(picker.value) : "";
  return "v1/classify?top=5" + model;
}

function showCommand() {
  byId("curl").textContent = "curl --data-binary @photo.jpg '" + new URL(route(), location.href) + "'";
}

async function loadModels() {
  const answer = await fetch("v1/models");
  const { models } = await answer.json();
  for (const m of models) {
    const o = new Option(m.ready ? `${m.name} (${m.classes} classes)` : `${m.name} (not ready)`, m.name);
    o.disabled = !m.ready;
    picker.add(o);
  }
  byId("picker").hidden = models.length < 2;
  showCommand();
}

// card makes a place for a photo's classes, in front of earlier ones.
function card(name, blob) {
  const node = byId("card").content.firstElementChild.cloneNode(true);
  const img = node.querySelector("img");
  img.src = URL.createObjectURL(blob);
  img.alt = name;
  img.onload = img.onerror = () => URL.revokeObjectURL(img.src);
  node.querySelector("h2").textContent = name;
  node.querySelector("caption").textContent = "Classes of " + name;
  byId("results").prepend(node);
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

function fill(node, answer) {
  const body = node.querySelector("tbody");
  for (const p of answer.predictions) {
    const row = body.insertRow();
    const head = document.createElement("th");
    head.scope = "row";
    const label = document.createElement("span");
    label.textContent = p.label;
    head.append(bar(p.probability), label);
    const value = document.createElement("span");
    value.textContent = (100 * p.probability).toFixed(1) + " %";
    row.append(head);
    row.insertCell().append(value);
  }
  const t = answer.timing_ms;
  node.querySelector(".timing").textContent =
    `waited ${t.queue.toFixed(1)} ms, decoded in ${t.decode.toFixed(1)} ms, classified in ${t.infer.toFixed(1)} ms`;
}

function fail(node, text) {
  const p = node.querySelector(".timing");
  p.classList.add("bad");
  p.textContent = text;
}

async function classify(name, blob) {
  const node = card(name, blob);
  waiting++;
  say(`Looking at ${waiting} ${waiting === 1 ? "photo" : "photos"} …`);
  let told = "";
  try {
    const answer = await fetch(route(), { method: "POST", body: blob, headers: { "Content-Type": "application/octet-stream" } });
    const body = await answer.json();
    if (answer.ok) {
      fill(node, body);
      told = `${name}: ${body.predictions[0].label}, ${(100 * body.predictions[0].probability).toFixed(1)} percent`;
    } else {
      const again = answer.headers.get("Retry-After");
      fail(node, body.error + (again ? `. Try again in ${again} s.` : ""));
      told = `${name}: ${body.error}`;
    }
  } catch (e) {
    fail(node, "The server can't be reached.");
    told = "The server can't be reached.";
  }
  waiting--;
  say(waiting ? `Looking at ${waiting} more …` : told);
}

// classifyAll sends a few at a time, so that a gallery isn't refused.
async function classifyAll(files) {
  const list = [...files].filter((f) => f.type.startsWith("image/") || f.type === "");
  if (!list.length) { say("That was no photo."); return; }
  const next = async () => { for (let f; (f = list.shift()); ) await classify(f.name || "pasted photo", f); };
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
  canvas.toBlob((blob) => classify("camera", blob), "image/jpeg", 0.92);
}

byId("file").addEventListener("change", (e) => { classifyAll(e.target.files); e.target.value = ""; });
byId("capture").addEventListener("change", (e) => { classifyAll(e.target.files); e.target.value = ""; });
byId("camera").addEventListener("click", openCamera);
byId("stop").addEventListener("click", closeCamera);
byId("shoot").addEventListener("click", shoot);
picker.addEventListener("change", showCommand);
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
