// Elements from descriptions, and numbers as people read them. Text goes in as text, never as HTML.

const ROLES = {table: "table", thead: "rowgroup", tbody: "rowgroup", tr: "row", td: "cell"};

class Part {
  constructor(tag, attributes, children) {
    Object.assign(this, {tag, attributes, children});
  }
}

/** Describes an element. No JSON from a server is such a description. */
export const part = (tag, attributes, ...children) => new Part(tag, attributes, children);

/** Makes a node of a description, and a text of anything else. */
export function build(described) {
  if (!(described instanceof Part)) return document.createTextNode(String(described));
  const {tag, attributes, children} = described;
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

export const UNKNOWN = "–";

/** Makes a format for numbers of one for anything: a report may hold what it likes. */
const numeric = format => value => Number.isFinite(value) ? format(value) : UNKNOWN;

export const number = numeric(value => (value !== 0 && Math.abs(value) < 10 ? precise : whole).format(value));

export const count = (value, one, many = `${one}s`) => `${whole.format(value)} ${value === 1 ? one : many}`;

function pair(size, unit, large, small) {
  const rest = Math.floor((size % unit) / (unit === 86400 ? 3600 : unit / 60));
  return `${Math.floor(size / unit)} ${large}${rest ? ` ${rest} ${small}` : ""}`;
}

export const seconds = numeric(value => {
  const size = Math.abs(value);
  if (size < 1) return `${number(value * 1000)} ms`;
  if (size < 60) return `${number(value)} s`;
  if (size < 3600) return pair(size, 60, "min", "s");
  if (size < 86400) return pair(size, 3600, "h", "min");
  return pair(size, 86400, "d", "h");
});

export const bytes = numeric(value => {
  const power = value < 1 ? 0 : Math.min(4, Math.floor(Math.log2(value) / 10));
  return `${number(value / 1024 ** power)} ${["B", "KiB", "MiB", "GiB", "TiB"][power]}`;
});

/** A bar below a number; the number is what is read aloud. */
export function bar(value, limit, weight = "") {
  const width = `${Math.round(100 * Math.min(1, value / limit || 0))}%`;
  return part("div", {class: "bar", "aria-hidden": "true", "data-weight": weight}, part("i", {width}));
}

/** Words behind a name. The spaces keep them apart when they are read aloud. */
export const marks = words => words.flatMap(([text, weight = ""]) =>
  [" ", part("span", {class: "mark", "data-weight": weight}, text)]);
