// Elements from descriptions, and numbers as people read them. Text goes in as text, never as HTML.

const ROLES = {table: "table", caption: "caption", thead: "rowgroup", tbody: "rowgroup", tr: "row", td: "cell"};

/** Makes a node of a string, or of [tag, attributes, ...children]. */
export function build(part) {
  if (!Array.isArray(part)) return document.createTextNode(String(part));
  const [tag, attributes, ...children] = part;
  const node = document.createElement(tag);
  // Style sheets that take a table apart would take its roles, too.
  if (ROLES[tag]) node.setAttribute("role", ROLES[tag]);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "width") node.style.width = value;
    else node.setAttribute(name, value);
  }
  node.append(...children.map(build));
  return node;
}

/** Replaces the content of a node where it has changed, so that focus and selection stay. */
export function fill(node, parts) {
  const made = JSON.stringify(parts);
  if (node.made === made) return;
  node.made = made;
  node.replaceChildren(...parts.map(build));
}

/** Replaces the text of a node where it has changed: a live region speaks of each replacement. */
export function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

const whole = new Intl.NumberFormat("en", {maximumFractionDigits: 0});
const precise = new Intl.NumberFormat("en", {maximumSignificantDigits: 2});

export const number = value => (value !== 0 && Math.abs(value) < 10 ? precise : whole).format(value);

export const count = (value, one, many = `${one}s`) => `${whole.format(value)} ${value === 1 ? one : many}`;

export function seconds(value) {
  const size = Math.abs(value);
  if (size < 1) return `${number(value * 1000)} ms`;
  if (size < 60) return `${number(value)} s`;
  if (size < 3600) return `${Math.floor(size / 60)} min ${Math.floor(size % 60)} s`;
  if (size < 86400) return `${Math.floor(size / 3600)} h ${Math.floor((size % 3600) / 60)} min`;
  return `${Math.floor(size / 86400)} d ${Math.floor((size % 86400) / 3600)} h`;
}

export function bytes(value) {
  const power = value < 1 ? 0 : Math.min(4, Math.floor(Math.log2(value) / 10));
  return `${number(value / 1024 ** power)} ${["B", "KiB", "MiB", "GiB", "TiB"][power]}`;
}

/** A bar below a number; the number is what is read aloud. */
export const bar = (value, limit, weight = "") => ["div", {class: "bar", "aria-hidden": "true", "data-weight": weight},
  ["i", {width: `${Math.round(100 * Math.min(1, value / limit || 0))}%`}]];

export const mark = (text, weight = "") => ["span", {class: "mark", "data-weight": weight}, text];
