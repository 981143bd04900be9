"""Buttons that save a figure as a picture, just as the browser has drawn it.

A figure on the page is a few SVG layers. Put over each other on the page's background they are
the picture, in the reader's colours, light or dark; no server and no second browser is needed.
"""

from __future__ import annotations

import streamlit as st

_HTML = """
<button type="button" data-format="png">Picture as PNG</button>
<button type="button" data-format="svg">Picture as SVG</button>
"""

_CSS = """
button {
  display: block; width: 100%; margin: 0 0 0.5rem; padding: 0.25rem 0.75rem; min-height: 2.5rem;
  font: inherit; font-size: 0.875rem;
  color: var(--st-text-color); background: var(--st-background-color);
  border: 1px solid var(--st-border-color); border-radius: var(--st-base-radius); cursor: pointer;
}
button:hover, button:focus-visible {
  border-color: var(--st-primary-color); color: var(--st-primary-color);
}
"""

_JS = """
const SVG = "http://www.w3.org/2000/svg";
const SCALE = 2;  // pixels of the PNG a pixel of the screen

function drawnAs(key) {
  const name = "st-key-" + key.trim().replace(/[^a-zA-Z0-9_-]/g, "-");
  const holder = document.getElementsByClassName(name)[0];
  return holder && holder.querySelector(".js-plotly-plot");
}

function layered(plot) {
  const layers = [...plot.querySelectorAll("svg.main-svg")];
  const box = layers[0].getBoundingClientRect();
  const whole = document.createElementNS(SVG, "svg");
  whole.setAttribute("xmlns", SVG);
  whole.setAttribute("width", box.width);
  whole.setAttribute("height", box.height);
  whole.setAttribute("viewBox", `0 0 ${box.width} ${box.height}`);
  const ground = document.createElementNS(SVG, "rect");
  ground.setAttribute("width", "100%");
  ground.setAttribute("height", "100%");
  const page = document.querySelector("[data-testid=stApp]");
  ground.setAttribute("fill", getComputedStyle(page).backgroundColor);
  whole.append(ground);
  for (const layer of layers) {
    const copy = layer.cloneNode(true);
    copy.removeAttribute("style");
    // What only the mouse needs is no part of the picture.
    copy.querySelectorAll(".draglayer, .hoverlayer, .zoomlayer, .select-outline")
      .forEach((part) => part.remove());
    whole.append(copy);
  }
  const text = new XMLSerializer().serializeToString(whole);
  return { text, width: box.width, height: box.height };
}

function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

function painted(figure) {
  return new Promise((done, failed) => {
    const image = new Image();
    image.onerror = failed;
    image.onload = () => {
      const canvas = document.createElement("canvas");
      canvas.width = Math.round(SCALE * figure.width);
      canvas.height = Math.round(SCALE * figure.height);
      canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
      canvas.toBlob(done, "image/png");
    };
    image.src = "data:image/svg+xml;charset=utf-8," + encodeURIComponent(figure.text);
  });
}

export default function ({ data, parentElement }) {
  for (const button of parentElement.querySelectorAll("button")) {
    button.onclick = async () => {
      const plot = drawnAs(data.chart);
      if (!plot) return;
      const figure = layered(plot);
      const format = button.dataset.format;
      const blob = format === "svg"
        ? new Blob([figure.text], { type: "image/svg+xml" })
        : await painted(figure);
      save(blob, `${data.name}.${format}`);
    };
  }
}
"""

picture = st.components.v2.component("picture of a figure", html=_HTML, css=_CSS, js=_JS)
"""Show the two buttons; `data` holds the key of the `chart` and the `name` of the files."""
