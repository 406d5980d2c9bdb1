// What of the facts stands in which table, and what is worth an alert.

import {bar, bytes, count, mark, number, seconds} from "./dom.js";

const HEAVY = new Set(["full", "no reader"]);
const LATE_SECONDS = 6; // for reports, which come every two
const STUCK_SECONDS = 30;

const weight = word => HEAVY.has(word) ? "red" : "";
const figure = (label, key, format = number) => ({
  label, kind: "number", value: row => row[key] || 0, parts: row => row[key] ? [format(row[key])] : ["–"],
});

export const channels = {
  caption: "Channels",
  empty: "No messages wait.",
  name: row => row.channel,
  sort: {index: 1, descending: true},
  columns: [
    {
      label: "Channel", value: row => row.channel,
      parts: row => [["span", {class: "name"}, row.channel], ...row.marks.map(word => mark(word, weight(word)))],
    },
    {
      label: "Waiting", kind: "number", value: row => row.waiting,
      parts: row => [row.capacity ? `${number(row.waiting)} of ${number(row.capacity)}` : number(row.waiting),
        ...(row.capacity ? [bar(row.waiting, row.capacity, row.waiting >= row.capacity ? "red" : "")] : [])],
    },
    figure("Oldest", "oldest", seconds),
    figure("In/s", "in_per_second"),
    figure("Out/s", "out_per_second"),
    figure("Refused", "channel_full_count"),
    figure("Expired", "messages_expired"),
    {
      label: "Readers", kind: "number", value: row => row.readers || 0,
      parts: row => row.readers === null ? [] : [number(row.readers)],
    },
  ],
};

const place = row => `${row.host || row.process}${row.pid ? `:${row.pid}` : ""}`;
const since = (row, now) => row.started ? [seconds(Math.max(0, now() - row.started))] : [];

function workerMarks(row) {
  return [
    ...(row.stopping ? [mark("stopping")] : []),
    ...(row.popping === false ? [mark("not receiving", "red")] : []),
    ...(row.pulled > STUCK_SECONDS && !row.stopping && row.busy < row.slots ? [mark("stuck", "red")] : []),
    ...(row.age > LATE_SECONDS ? [mark("silent", "red")] : []),
  ];
}

function runningParts(row) {
  const running = row.running || [];
  if (!running.length) return [];
  const more = running.length > 5 ? [["li", {class: "soft"}, `and ${count(running.length - 5, "more", "more")}`]] : [];
  return [["ul", {}, ...running.slice(0, 5).map(one => ["li", {},
    ["span", {class: "name"}, one.consumer], ` on ${one.channel}, ${seconds(one.seconds)}`]), ...more]];
}

function listed(names = []) {
  const more = names.length > 4 ? ` and ${names.length - 4} more` : "";
  return names.length ? [["span", {class: "soft"}, names.slice(0, 4).join(", ") + more]] : [];
}

export const workers = now => ({
  caption: "Workers and the consumers that they run",
  empty: "No worker has reported.",
  name: row => row.process,
  sort: {index: 0, descending: false},
  columns: [
    {
      label: "Worker", value: place,
      parts: row => [["span", {class: "name"}, place(row)], ...workerMarks(row),
        ["div", {class: "soft"}, [row.pool, row.version].filter(Boolean).join(", ")]],
    },
    {
      label: "Busy", kind: "number", value: row => row.busy || 0,
      parts: row => [`${number(row.busy || 0)} of ${number(row.slots || 0)}`, bar(row.busy, row.slots)],
    },
    {label: "Running", kind: "wide running", parts: runningParts},
    figure("Done", "done"),
    figure("Failed", "failed"),
    figure("Retried", "retried"),
    {label: "Up", kind: "number", value: row => -row.started || 0, parts: row => since(row, now)},
    {label: "Reads", kind: "wide reads", parts: row => listed(row.channels)},
  ],
});

export const interfaces = now => ({
  caption: "Interface processes, which hold the connections of clients",
  empty: "No interface process has reported.",
  name: row => row.process,
  sort: {index: 0, descending: false},
  columns: [
    {
      label: "Process", value: place,
      parts: row => [["span", {class: "name"}, place(row)], ...(row.age > LATE_SECONDS ? [mark("silent", "red")] : [])],
    },
    figure("Websockets", "sockets"),
    figure("Requests now", "requests"),
    figure("Requests in all", "requests_total"),
    {label: "Up", kind: "number", value: row => -row.started || 0, parts: row => since(row, now)},
    {label: "Version", parts: row => row.version ? [row.version] : []},
  ],
});

export const servers = {
  caption: "Redis servers",
  empty: "This layer needs no server.",
  name: row => row.name,
  columns: [
    {
      label: "Server",
      parts: row => [["span", {class: "name"}, row.name], ...(row.error ? [mark("unreachable", "red"),
        ["div", {class: "bad"}, row.error]] : [])],
    },
    {label: "Role", parts: row => [[row.role, row.version].filter(Boolean).join(", ")].filter(Boolean)},
    figure("Latency", "latency", seconds),
    {
      label: "Memory", kind: "number",
      parts: row => row.max_memory
        ? [`${bytes(row.used_memory)} of ${bytes(row.max_memory)}`, bar(row.used_memory, row.max_memory)]
        : row.used_memory ? [bytes(row.used_memory)] : ["–"],
    },
    figure("Clients", "clients"),
    figure("Blocked", "blocked_clients"),
    figure("Commands/s", "commands_per_second"),
  ],
};

export const groups = {
  caption: "Groups",
  empty: "No group has members.",
  name: row => row.group,
  sort: {index: 1, descending: true},
  columns: [
    {label: "Group", value: row => row.group, parts: row => [["span", {class: "name"}, row.group]]},
    figure("Members", "members"),
    figure("Processes", "processes"),
  ],
};

export const delayed = {
  caption: "The next delayed messages",
  empty: "No message is delayed.",
  name: row => row.name,
  columns: [
    {label: "Channel", parts: row => [["span", {class: "name"}, row.channel]]},
    {label: "Due", kind: "number", parts: row => [row.due < 0 ? `${seconds(-row.due)} ago` : `in ${seconds(row.due)}`]},
  ],
};

export const peeked = {
  caption: "The first messages, the oldest first",
  empty: "No message waits.",
  name: row => row.name,
  columns: [
    {label: "Message", parts: row => [row.name, ...(row.channel ? [["div", {class: "soft name"}, row.channel]] : [])]},
    {label: "Age", kind: "number", parts: row => [seconds(row.age)]},
    {label: "Size", kind: "number", parts: row => [bytes(row.size)]},
    {label: "Content", kind: "wide", parts: row => row.content === undefined ? [] : [["pre", {tabindex: "0"}, row.content]]},
  ],
};

/** Gives delayed or peeked messages names by which their rows are told apart. */
export const numbered = rows => rows.map((row, index) => ({...row, name: `${index + 1}`}));

/** The alerts of a snapshot: pairs of a text, without figures that change all the time, and its weight. */
export function alerts(snapshot) {
  const found = snapshot.error ? [[snapshot.error, "red"]] : [];
  for (const row of snapshot.servers) if (row.error) found.push([`Server ${row.name} cannot be reached: ${row.error}`, "red"]);
  for (const row of snapshot.channels) {
    if (row.marks.includes("full")) found.push([`Channel ${row.channel} is full and refuses messages`, "red"]);
    if (row.marks.includes("no reader")) found.push([`Channel ${row.channel} has messages and no worker reads it`, "red"]);
    if (row.marks.includes("unread")) found.push([`Channel ${row.channel} has messages that are not being read`, ""]);
  }
  for (const row of snapshot.processes.filter(row => row.role === "worker")) {
    for (const [, , text] of workerMarks(row)) found.push([`Worker ${place(row)} is ${text}`, text === "stopping" ? "" : "red"]);
  }
  if (snapshot.delayed && snapshot.delayed.waiting_for_room) found.push(["Delayed messages wait for room in their channels", ""]);
  return found;
}
