// A picture over time, of the figures that this page has been told.

import {build, count, fill, part, seconds} from "./dom.js";

const SPAN_SECONDS = 600;
const SHORTEST_SECONDS = 30;
const GAP_SECONDS = 12; // without figures: the line is broken there
const HEIGHT = 92;
const TOP = 14;

function shape(tag, attributes, text = "") {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.textContent = text;
  return node;
}

/** The next number of the form 1, 2 or 5 times a power of ten. */
function round(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map(step => step * power).find(step => step >= value * 0.999);
}

/**
 * A chart; where it is pointed at, it shows the figures of that moment.
 *
 * `format(value)` is how its figures are written; `least` the least number at the top.
 */
export class Chart {
  constructor(holder, {title, format, least}) {
    Object.assign(this, {title, format, least, points: []});
    const caption = part("figcaption", {}, part("span", {}, title), part("span", {class: "span"}));
    this.figure = build(part("figure", {}, caption, part("div", {class: "now"})));
    this.svg = shape("svg", {role: "img"});
    this.figure.append(this.svg);
    this.svg.addEventListener("pointermove", event => this.point(event.clientX));
    this.svg.addEventListener("pointerleave", () => this.point(null));
    this.clear();
    holder.append(this.figure);
    new ResizeObserver(() => this.draw()).observe(this.figure);
  }

  clear() {
    this.points = [];
    this.pointed = null; // at this distance from the left
    this.figure.hidden = true;
  }

  /** Adds the figures of a moment: an object of numbers by their labels, or of null where a figure is not known. */
  add(time, values) {
    this.figure.hidden = !Object.keys(values).length;
    if (this.points.length && this.points.at(-1).time >= time) return;
    this.points.push({time, values});
    this.points = this.points.filter(point => point.time > time - SPAN_SECONDS);
    this.draw();
  }

  point(clientX) {
    this.pointed = clientX === null ? null : clientX - this.svg.getBoundingClientRect().left;
    this.draw();
  }

  draw() {
    if (!this.points.length || this.figure.hidden) return;
    const end = this.points.at(-1);
    const labels = Object.keys(end.values);
    const span = Math.max(SHORTEST_SECONDS, end.time - this.points[0].time);
    const words = span < 90 ? count(Math.round(span), "second") : count(Math.round(span / 60), "minute");
    const top = round(Math.max(this.least, ...labels.flatMap(label => this.values(label))));
    const width = this.svg.clientWidth || 300;
    const x = time => width - (end.time - time) / span * width;
    const y = value => HEIGHT - 1 - value / top * (HEIGHT - TOP - 1);
    const shown = this.pointed === null ? end : this.nearest(x);
    const rule = (name, x1, x2, y1, y2) => shape("line", {class: name, x1, x2, y1, y2});
    this.svg.replaceChildren(
      ...[0, top].map(value => rule("rule", 0, width, y(value), y(value))),
      ...(shown === end ? [] : [rule("pointed", x(shown.time), x(shown.time), y(top), y(0))]),
      shape("text", {x: 0, y: 10}, this.format(top)),
      ...labels.flatMap((label, index) => this.lines(label, index % 4, x, y, labels.length === 1)),
    );
    const said = labels.map(label => this.words(label)).join("; ");
    this.svg.setAttribute("aria-label", `${this.title}, last ${words}: ${said}`);
    this.showFigures(labels, shown, shown === end ? `last ${words}` : `${seconds(end.time - shown.time)} ago`);
  }

  nearest(x) {
    const distance = ({time}) => Math.abs(x(time) - this.pointed);
    return this.points.reduce((one, other) => distance(other) < distance(one) ? other : one);
  }

  showFigures(labels, {values}, when) {
    fill(this.figure.querySelector(".span"), [when]);
    fill(this.figure.querySelector(".now"), labels.map((label, index) => part("div", {},
      part("b", {}, this.format(values[label])),
      part("span", {}, part("i", {class: `series-${index % 4}`}), label))));
  }

  lines(label, series, x, y, filled) {
    const stretches = [];
    let last = -Infinity;
    for (const {time, values} of this.points) {
      if (!Number.isFinite(values[label])) continue;
      if (time - last > GAP_SECONDS) stretches.push([]);
      stretches.at(-1).push([x(time), y(values[label])]);
      last = time;
    }
    return stretches.flatMap(points => {
      const path = "M" + points.map(point => point.map(part => part.toFixed(1)).join(",")).join("L");
      const line = shape("path", {class: `line series-${series}`, d: points.length > 1 ? path : `${path}h.1`});
      const area = `${path}V${y(0)}H${points[0][0].toFixed(1)}Z`;
      return filled ? [shape("path", {class: `area series-${series}`, d: area, stroke: "none"}), line] : [line];
    });
  }

  /** The known figures of a label, the oldest first. */
  values(label) {
    return this.points.map(({values}) => values[label]).filter(Number.isFinite);
  }

  words(label) {
    const values = this.values(label);
    if (!values.length) return `${label} not known yet`;
    const [now, low, high] = [values.at(-1), Math.min(...values), Math.max(...values)].map(this.format);
    return `${label} now ${now}, lowest ${low}, highest ${high}`;
  }
}
