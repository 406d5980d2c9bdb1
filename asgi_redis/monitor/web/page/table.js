// Tables whose rows stay the same elements from one answer to the next.

import {UNKNOWN, build, fill, part, write} from "./dom.js";

const MOST_ROWS = 200;
const canHover = matchMedia("(hover: hover)"); // a touch screen keeps the last place hovered

/**
 * A sortable table in `holder`.
 *
 * `name(row)` tells rows apart, and the first column is their header. A column has a `label`, `parts(row)` for its
 * cells, and may have `value(row)` to sort by and a `kind`. An action has a `label` and `act(row)`, and `needs` names
 * the right that it takes. `sort` is the first order.
 */
export class Table {
  constructor(holder, {caption, name, columns, actions = [], empty, sort = null}) {
    Object.assign(this, {holder, name, columns, actions, sort});
    this.rows = new Map();
    this.needs = actions.every(({needs}) => needs) ? "act" : ""; // the right that all actions need
    this.body = build(part("tbody", {}));
    this.heads = columns.map((column, index) => this.head(column, index));
    const heads = build(part("tr", {}));
    heads.append(...this.heads);
    if (actions.length) {
      const attributes = {scope: "col", role: "columnheader", class: "acts", "data-needs": this.needs};
      heads.append(build(part("th", attributes, "Actions")));
    }
    const table = build(part("table", {}, part("caption", {}, caption), part("thead", {})));
    table.querySelector("thead").append(heads);
    table.append(this.body);
    this.table = table;
    this.empty = build(part("p", {class: "empty"}, empty));
    this.more = build(part("p", {class: "empty"}));
    holder.append(table, this.empty, this.more);
    holder.tabIndex = -1;
    this.show([]);
  }

  head(column, index) {
    const attributes = {scope: "col", role: "columnheader", class: column.kind || ""};
    if (!column.value) return build(part("th", attributes, column.label));
    const head = build(part("th", attributes, part("button", {type: "button"}, column.label)));
    head.firstChild.addEventListener("click", () => {
      const again = this.sort && this.sort.index === index;
      this.sort = {index, descending: again ? !this.sort.descending : column.kind === "number"};
      this.show(this.all, true);
    });
    return head;
  }

  /** Shows rows. They do not move under a pointer or a focus, unless another order is asked for. */
  show(rows, reorder = false) {
    this.all = rows;
    const shown = this.sorted(rows).slice(0, MOST_ROWS);
    this.table.hidden = !rows.length;
    this.empty.hidden = rows.length > 0;
    this.more.hidden = rows.length <= MOST_ROWS;
    write(this.more, `The first ${MOST_ROWS} of ${rows.length}.`);
    this.heads.forEach((head, index) => {
      if (!this.sort || this.sort.index !== index) head.removeAttribute("aria-sort");
      else head.setAttribute("aria-sort", this.sort.descending ? "descending" : "ascending");
    });
    const focus = document.activeElement;
    const held = !reorder && (this.body.contains(focus) || (canHover.matches && this.body.matches(":hover")));
    this.removeOthers(new Set(shown.map(this.name)), focus);
    shown.forEach((row, index) => {
      const line = this.line(row);
      const there = this.body.children[index];
      if (there !== line && !(held && line.isConnected)) this.body.insertBefore(line, held ? null : there || null);
    });
    if (this.body.contains(focus) && document.activeElement !== focus) focus.focus({preventScroll: true});
  }

  removeOthers(names, focus) {
    for (const [name, line] of this.rows) {
      if (names.has(name)) continue;
      if (line.contains(focus)) this.holder.focus({preventScroll: true});
      line.remove();
      this.rows.delete(name);
    }
  }

  sorted(rows) {
    if (!this.sort) return rows;
    const {value} = this.columns[this.sort.index];
    const sign = this.sort.descending ? -1 : 1;
    const compare = (one, other) =>
      [one, other].every(Number.isFinite) ? one - other : String(one).localeCompare(String(other));
    return [...rows].sort((one, other) =>
      sign * compare(value(one), value(other)) || this.name(one).localeCompare(this.name(other)));
  }

  line(row) {
    const name = this.name(row);
    const line = this.rows.get(name) || this.newLine(name);
    line.row = row;
    this.columns.forEach((column, index) => {
      const cell = line.children[index];
      const parts = column.parts(row);
      cell.toggleAttribute("data-empty", !parts.length || parts[0] === UNKNOWN);
      fill(cell, parts);
    });
    return line;
  }

  newLine(name) {
    const cells = this.columns.map(({label, kind = ""}, index) => index
      ? part("td", {class: kind, "data-label": label})
      : part("th", {scope: "row", role: "rowheader"}));
    const line = build(part("tr", {}, ...cells));
    if (this.actions.length) {
      const buttons = this.actions.map(({label, needs = ""}) =>
        part("button", {type: "button", "aria-label": `${label} ${name}`, "data-needs": needs}, label));
      const cell = build(part("td", {class: "acts", "data-needs": this.needs}, ...buttons));
      this.actions.forEach(({act}, index) => cell.children[index].addEventListener("click", () => act(line.row)));
      line.append(cell);
    }
    this.rows.set(name, line);
    return line;
  }
}
