// The tables with their columns, and the alerts.

import {UNKNOWN, bar, bytes, count, marks, number, part, seconds} from "./dom.js";

const HEAVY = new Set(["full", "no reader"]);
const TROUBLES = {
  "full": "is full and refuses messages",
  "no reader": "has messages and no worker reads it",
  "unread": "has messages that are not being read",
  "expiring": "loses messages, which expire before they are read",
};
const LATE_SECONDS = 6; // for reports, which come every two
const STUCK_SECONDS = 30;
const MOST_NAMES = 3; // of the channels that a worker reads
const MOST_RUNNING = 5; // consumers of a worker

const weight = word => HEAVY.has(word) ? "red" : "";
/** The marks of a channel: one that has no reader is of course unread. */
const told = ({marks: words}) => words.filter(word => word !== "unread" || !words.includes("no reader"));

const named = name => part("span", {class: "name"}, name);
const figure = (label, key, format = number) => ({
  label, kind: "number", value: row => row[key] || 0, parts: row => row[key] ? [format(row[key])] : [UNKNOWN],
});

export const channels = {
  caption: "Channels",
  empty: "No messages wait.",
  name: row => row.channel,
  sort: {index: 1, descending: true},
  columns: [
    {
      label: "Channel", value: row => row.channel,
      parts: row => [named(row.channel), ...marks(told(row).map(word => [word, weight(word)]))],
    },
    {
      label: "Waiting", kind: "number", value: row => row.waiting,
      parts: ({waiting, capacity}) => [
        `${number(waiting)} of ${number(capacity)}`, bar(waiting, capacity, waiting >= capacity ? "red" : ""),
      ],
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

const list = value => Array.isArray(value) ? value : [];
const scalar = value => typeof value === "object" ? UNKNOWN : value;
const scalars = fields => Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, scalar(value)]));

/** The processes in a role. Their reports get the shape that they should have: anything may stand in them. */
export const processes = (snapshot, role) => snapshot.processes.filter(row => row.role === role).map(row => ({
  ...scalars(row),
  channels: list(row.channels).map(scalar),
  running: list(row.running).map(one => scalars(one || {})),
}));

const place = row => `${row.host || row.process}${row.pid ? `:${row.pid}` : ""}`;
const since = (row, now) => row.started ? [seconds(Math.max(0, now() - row.started))] : [];

const lateness = row => row.age > LATE_SECONDS ? [["silent", "red"]] : [];

/** The states of a worker that are worth an alert, each with its weight. */
const workerStates = row => [
  ...(row.stopping ? [["stopping", ""]] : []),
  ...(row.popping === false ? [["not receiving", "red"]] : []),
  ...(row.pulled > STUCK_SECONDS && !row.stopping && row.busy < row.slots ? [["stuck", "red"]] : []),
  ...lateness(row),
];

function runningParts({running}) {
  if (!running.length) return [];
  const rest = running.length - MOST_RUNNING;
  const more = rest > 0 ? [part("li", {class: "soft"}, `and ${rest} more`)] : [];
  const items = running.slice(0, MOST_RUNNING).map(({consumer, channel, seconds: age}) =>
    part("li", {}, part("span", {class: "name"}, consumer), ` on ${channel}, ${seconds(age)}`));
  return [part("ul", {}, ...items, ...more)];
}

function listed(names) {
  const more = names.length > MOST_NAMES ? ` and ${names.length - MOST_NAMES} more` : "";
  return names.length ? [part("span", {class: "soft"}, names.slice(0, MOST_NAMES).join(", ") + more)] : [];
}

export const workers = now => ({
  caption: "Workers and the consumers that they run",
  empty: "No worker has reported.",
  name: row => row.process,
  sort: {index: 0, descending: false},
  columns: [
    {
      label: "Worker", value: place,
      parts: row => [named(place(row)), ...marks(workerStates(row)),
        part("div", {class: "soft"}, [row.pool, row.version].filter(Boolean).join(", "))],
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
      parts: row => [named(place(row)), ...marks(lateness(row))],
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
      parts: row => [named(row.name),
        ...(row.error ? [...marks([["unreachable", "red"]]), part("div", {class: "bad"}, row.error)] : [])],
    },
    {label: "Role", parts: row => [[row.role, row.version].filter(Boolean).join(", ")].filter(Boolean)},
    figure("Latency", "latency", seconds),
    {
      label: "Memory", kind: "number",
      parts: row => row.max_memory
        ? [`${bytes(row.used_memory)} of ${bytes(row.max_memory)}`, bar(row.used_memory, row.max_memory)]
        : row.used_memory ? [bytes(row.used_memory)] : [UNKNOWN],
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
    {label: "Group", value: row => row.group, parts: row => [named(row.group)]},
    figure("Members", "members"),
    figure("Processes", "processes"),
  ],
};

export const delayed = {
  caption: "The next delayed messages",
  empty: "No message is delayed.",
  name: row => row.name,
  columns: [
    {label: "Channel", parts: row => [named(row.channel)]},
    {
      label: "Due", kind: "number",
      parts: ({due}) => [due < 0 ? `${seconds(-due)} ago` : `in ${seconds(due)}`],
    },
  ],
};

export const peeked = {
  caption: "The first messages, the oldest first",
  empty: "No message waits.",
  name: row => row.name,
  columns: [
    {
      label: "Message",
      parts: row => [row.name, ...(row.channel ? [part("div", {class: "soft name"}, row.channel)] : [])],
    },
    {label: "Age", kind: "number", parts: row => [seconds(row.age)]},
    {label: "Size", kind: "number", parts: row => [bytes(row.size)]},
    {
      label: "Content", kind: "wide",
      parts: ({content}) => content === undefined ? [] : [part("pre", {tabindex: "0"}, content)],
    },
  ],
};

/** Gives delayed or peeked messages names by which their rows are told apart. */
export const numbered = rows => rows.map((row, index) => ({...row, name: `${index + 1}`}));

/** The alerts of a snapshot, the red ones first: each a text without figures, which would change, and its weight. */
export function alerts(snapshot) {
  const failed = snapshot.servers.filter(({error}) => error);
  const found = failed.map(({name, error}) => [`Server ${name} cannot be reached: ${error}`, "red"]);
  if (snapshot.error && !failed.some(({error}) => error === snapshot.error)) {
    found.push([`Some figures are missing or old: ${snapshot.error}`, "red"]);
  }
  for (const row of snapshot.channels) {
    found.push(...told(row).filter(word => word in TROUBLES).map(word =>
      [`Channel ${row.channel} ${TROUBLES[word]}`, weight(word)]));
  }
  for (const row of processes(snapshot, "worker")) {
    found.push(...workerStates(row).map(([text, weight]) => [`Worker ${place(row)} is ${text}`, weight]));
  }
  if (snapshot.delayed.waiting_for_room) found.push(["Delayed messages wait for room in their channels", ""]);
  return found.sort(([, one], [, other]) => (other === "red") - (one === "red"));
}
