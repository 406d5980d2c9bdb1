// The page: asks for the facts every two seconds, shows them, and carries out what is asked for.

import {Chart} from "./chart.js";
import {build, bytes, count, number, part, seconds, write} from "./dom.js";
import * as facts from "./facts.js";
import {Table} from "./table.js";

const POLL_SECONDS = 2;
const STALE_SECONDS = 7;
const ANSWER_SECONDS = 8;
const NOTICE_SECONDS = 8;
const MOST_ALERTS = 6;

const at = id => document.getElementById(id);
const state = {
  answer: null, // the last of the server
  answered: 0, // when it came
  problem: "", // why there is no newer one
  paused: false,
  alias: new URLSearchParams(location.search).get("layer"),
  turn: 0, // of the question that is under way
};
let timer = 0;
let noticeTimer = 0;

const serverTime = () => state.answer.now + (Date.now() - state.answered) / 1000;
const channels = new Table(at("channels"), {
  ...facts.channels,
  actions: [{label: "Peek", act: peek}, {label: "Purge", act: purge, needs: "act"}],
});
const workers = new Table(at("workers"), {
  ...facts.workers(serverTime),
  actions: [{label: "Quiet", act: quiet, needs: "act"}],
});
const interfaces = new Table(at("interfaces"), facts.interfaces(serverTime));
const servers = new Table(at("servers"), facts.servers);
const groups = new Table(at("groups"), facts.groups);
const delayed = new Table(at("delayed"), facts.delayed);
const peeked = new Table(at("peek-messages"), facts.peeked);
const charts = {
  rate: new Chart(at("charts"), {title: "Messages a second", format: number, least: 1}),
  waiting: new Chart(at("charts"), {title: "Messages that wait", format: number, least: 10}),
  latency: new Chart(at("charts"), {title: "Latency of Redis", format: seconds, least: 0.001}),
};

/** Asks the server; `values` make it a POST. Raises an Error with what to show; `isRefusal`: nothing was done. */
async function ask(what, query = {}, values = null) {
  const search = new URLSearchParams({...(state.alias ? {layer: state.alias} : {}), ...query});
  const options = {cache: "no-store", redirect: "error", signal: AbortSignal.timeout(ANSWER_SECONDS * 1000)};
  if (values) {
    const body = new URLSearchParams({...values, csrfmiddlewaretoken: state.answer.token});
    Object.assign(options, {method: "POST", body});
  }
  let response;
  try {
    response = await fetch(`${what}?${search}`, options);
  } catch {
    throw new Error("the server of this page does not answer");
  }
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) {
    const error = new Error(answer.error || `the server of this page answers ${response.status}`);
    throw Object.assign(error, {isRefusal: response.status < 500});
  }
  return answer;
}

async function poll() {
  clearTimeout(timer);
  const turn = ++state.turn;
  if (state.paused || document.hidden) return;
  try {
    const answer = await ask("facts");
    if (turn !== state.turn) return;
    Object.assign(state, {answer, answered: Date.now(), problem: ""});
    show();
  } catch (error) {
    if (turn !== state.turn) return;
    state.problem = error.message;
  }
  showState();
  timer = setTimeout(poll, POLL_SECONDS * 1000);
}

function show() {
  const {snapshot, layers, layer, may, note} = state.answer;
  write(at("layer"), snapshot.layer);
  write(at("rights"), note);
  document.body.classList.toggle("may-act", may.act);
  showAliases(layers, layer);
  showRows(snapshot);
  if (!snapshot.error && state.answer.now - snapshot.time < STALE_SECONDS) addToCharts(snapshot);
}

function showAliases(layers, layer) {
  at("aliases").hidden = layers.length < 2;
  if (at("alias").children.length !== layers.length) {
    at("alias").replaceChildren(...layers.map(name => build(part("option", {value: name}, name))));
  }
  at("alias").value = layer;
}

function showRows(snapshot) {
  const wanted = at("filter").value.trim().toLowerCase();
  const shown = snapshot.channels.filter(row => row.channel.toLowerCase().includes(wanted));
  const atWork = facts.processes(snapshot, "worker");
  channels.show(shown);
  workers.show(atWork);
  interfaces.show(facts.processes(snapshot, "interface"));
  servers.show(snapshot.servers);
  groups.show(snapshot.groups);
  const of = snapshot.delayed;
  delayed.show(facts.numbered(of.first));
  const sum = key => atWork.reduce((total, row) => total + (Number.isFinite(row[key]) ? row[key] : 0), 0);
  const total = snapshot.channels.length;
  write(at("channels-note"), `${wanted ? `${shown.length} of ${count(total, "channel")}` : count(total, "channel")}, `
    + `${count(snapshot.totals.waiting || 0, "message waits", "messages wait")}`
    + (snapshot.complete ? "" : ", still looking through the keys"));
  write(at("workers-note"), sum("slots") ? `${number(sum("busy"))} of ${count(sum("slots"), "slot")} busy` : "");
  write(at("delayed-note"), of.messages ? count(of.messages, "message") + (of.waiting_for_room
    ? `, ${number(of.waiting_for_room)} of them due and waiting for room` : "") : "");
}

function addToCharts({time, totals, servers: found}) {
  charts.rate.add(time, {in: totals.in_per_second, out: totals.out_per_second});
  charts.waiting.add(time, {waiting: totals.waiting || 0});
  const answering = found.filter(server => !server.error);
  charts.latency.add(time, Object.fromEntries(answering.slice(0, 4).map(({name, latency}) =>
    [answering.length > 1 ? name : "a round trip", latency])));
}

function showState() {
  const age = state.answer ? serverTime() - state.answer.snapshot.time : 0;
  const stale = state.problem || age > STALE_SECONDS;
  document.body.classList.toggle("stale", Boolean(stale) && !state.paused);
  const [kind, text] = state.paused ? ["paused", "paused"]
    : stale ? ["stale", state.answer ? `${seconds(age)} old` : "not connected"]
    : !state.answer ? ["waiting", "connecting"]
    : state.answer.snapshot.error ? ["partial", "partly old"] : ["live", "live"];
  at("state").dataset.state = kind;
  write(at("state"), text);
  const found = state.answer ? facts.alerts(state.answer.snapshot) : [];
  if (kind === "stale") {
    found.unshift([`These figures are not live: ${state.problem || "the monitor waits for the layer"}`, "red"]);
  }
  showAlerts(found);
}

function showAlerts(found) {
  const list = at("alerts").querySelector("ul");
  const first = found.slice(0, MOST_ALERTS);
  if (found.length > MOST_ALERTS) first.push([`and ${found.length - MOST_ALERTS} more`, ""]);
  const texts = new Set(first.map(([text]) => text));
  for (const item of [...list.children]) if (!texts.has(item.textContent)) item.remove();
  first.forEach(([text, weight], index) => {
    const item = [...list.children].find(one => one.textContent === text)
      || build(part("li", {"data-weight": weight}, text));
    if (list.children[index] !== item) list.insertBefore(item, list.children[index] || null);
  });
  at("alerts").hidden = !found.length;
  document.title = `${found.length ? `(${found.length}) ` : ""}Channels`;
}

function notify(text) {
  clearTimeout(noticeTimer);
  write(at("notice"), text);
  noticeTimer = setTimeout(() => write(at("notice"), ""), NOTICE_SECONDS * 1000);
}

/** Shows a dialog that names the thing; returns whether it was confirmed. */
function confirmed(heading, name, text, yes) {
  write(at("confirm-heading"), heading);
  write(at("confirm-name"), name);
  write(at("confirm-text"), text);
  write(at("confirm-yes"), yes);
  const dialog = at("confirm");
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise(resolve =>
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), {once: true}));
}

async function act(what, values, told) {
  try {
    notify(told(await ask(what, {}, values)));
  } catch (error) {
    // A server that hangs may do later what it was asked for.
    notify(`${error.isRefusal ? "Not done" : "Perhaps not done"}: ${error.message}`);
  }
  poll();
}

async function purge({channel}) {
  const text = "Its messages are deleted, those that come until then, too. They cannot be brought back.";
  if (!await confirmed("Purge this channel?", channel, text, "Purge")) return;
  await act("purge", {channel}, answer => `${count(answer.deleted, "message")} deleted from ${channel}`);
}

async function quiet({process, host, pid}) {
  const text = "It takes no more messages, finishes those in progress, and ends. "
    + "A service manager may start it again.";
  if (!await confirmed("Quiet this worker?", `${host}:${pid}`, text, "Quiet")) return;
  await act("quiet", {process}, answer =>
    answer.asked ? `Worker ${host}:${pid} has been asked to end` : `Worker ${host}:${pid} is not there any more`);
}

let peekedChannel = "";

function peek({channel}) {
  peekedChannel = channel;
  write(at("peek-name"), channel);
  at("peek-content").hidden = !state.answer.may.read;
  peeked.show([]);
  at("peek").showModal();
  showPeeked({});
}

async function showPeeked(query) {
  const channel = peekedChannel;
  write(at("peek-note"), "");
  try {
    const {messages} = await ask("peek", {channel, ...query});
    if (channel !== peekedChannel) return;
    peeked.show(facts.numbered(messages));
    const size = messages.reduce((sum, message) => sum + message.size, 0);
    write(at("peek-note"), `${count(messages.length, "message")}, ${bytes(size)}`);
  } catch (error) {
    write(at("peek-note"), `Cannot look: ${error.message}`);
  }
}

at("peek-content").addEventListener("click", () => {
  at("peek").querySelector("[autofocus]").focus();
  at("peek-content").hidden = true;
  showPeeked({content: "1"});
});
at("filter").addEventListener("input", () => state.answer && showRows(state.answer.snapshot));
at("pause").addEventListener("click", () => {
  state.paused = !state.paused;
  at("pause").setAttribute("aria-pressed", state.paused);
  showState();
  poll();
});
at("alias").addEventListener("change", () => {
  // No row of the layer before may stand there while actions are for this one.
  Object.assign(state, {alias: at("alias").value, answer: null, problem: ""});
  history.replaceState(null, "", `?${new URLSearchParams({layer: state.alias})}`);
  [channels, workers, interfaces, servers, groups, delayed].forEach(table => table.show([]));
  Object.values(charts).forEach(chart => chart.clear());
  showState();
  poll();
});
document.addEventListener("visibilitychange", poll);
setInterval(() => document.hidden || showState(), 1000);
poll();
