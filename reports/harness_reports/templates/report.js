"use strict";
// Shows the samples. Text reaches the page through text nodes alone, never as markup.
(() => {
  const PER_PAGE = 25;
  const LONG_TEXT = 1500;
  const FIRST_REFERENCES = 4;
  const data = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);
  const fields = ["q", "task", "model", "status", "sort", "order"];
  const state = { q: "", task: "", model: "", status: "", sort: "", order: "asc", page: 1 };
  let words = [];
  let found = [];

  // ---- small helpers -------------------------------------------------------------------------------------------

  function element(tag, className, ...children) {
    const made = document.createElement(tag);
    if (className) made.className = className;
    made.append(...children);
    return made;
  }

  // Characters that act instead of showing (control, bidirectional override, lone surrogates) become escapes.
  const ACTING = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069\ud800-\udfff]/gu;
  function visible(text) {
    return text.replace(/\r\n/g, "\n").replace(ACTING, (c) => "\\u" + c.charCodeAt(0).toString(16).padStart(4, "0"));
  }

  function pattern(word) {
    return word.replace(/[.*+?^${}()|[\]\\/-]/g, "\\$&");
  }

  // The text with what was searched for marked.
  function marked(text) {
    const shown = visible(text);
    if (!words.length) return [shown];
    const pieces = shown.split(new RegExp("(" + words.map(pattern).join("|") + ")", "gi"));
    return pieces.map((piece, index) => (index % 2 ? element("mark", "", piece) : piece));
  }

  function textBlock(text, className) {
    const block = element("div", "text " + (className || ""), ...marked(text));
    block.dir = "auto";
    if (text.length > LONG_TEXT) {
      block.classList.add("long");
      block.tabIndex = 0;
    }
    return block;
  }

  function bidiName(text) {
    return element("bdi", "", visible(text));
  }

  function number(value, decimals) {
    if (Math.abs(value) >= 1e7) return value.toPrecision(4);
    const shown = value.toFixed(decimals);
    return Number(shown) === 0 ? shown.replace("-", "") : shown;
  }

  // A cell is a number, null, or [status, reason, value].
  const valueOf = (cell) => (Array.isArray(cell) ? cell[2] : cell);
  const statusOf = (cell) => (Array.isArray(cell) ? cell[0] : 0);

  // ---- which samples, in which order ---------------------------------------------------------------------------

  const groupsOf = (sample) =>
    state.model === "" ? sample.groups : sample.groups.filter((group) => String(group.model) === state.model);

  const cellsOf = (groups) => groups.flatMap((group) => group.completions.flatMap((each) => each.cells));

  function searched(sample, groups) {
    const prompt = Array.isArray(sample.prompt) ? sample.prompt.map((turn) => turn[1]) : [sample.prompt || ""];
    const texts = groups.flatMap((group) => group.completions.map((each) => each.text || ""));
    return [sample.id, ...prompt, ...sample.references, ...texts].join("\n");
  }

  function hasStatus(groups) {
    if (state.status === "") return true;
    const statuses = cellsOf(groups).filter((cell) => cell !== null).map(statusOf);
    return state.status === "0" ? statuses.every((s) => s === 0) : statuses.some((s) => String(s) === state.status);
  }

  function sortKey(groups, column) {
    const values = groups.flatMap((group) => group.completions.map((each) => valueOf(each.cells[column])));
    const having = values.filter((value) => typeof value === "number");
    return having.length ? having.reduce((sum, value) => sum + value, 0) / having.length : null;
  }

  function sorted(samples) {
    const column = Number(state.sort);
    const sign = state.order === "desc" ? -1 : 1;
    const keyed = samples.map((sample) => [sortKey(groupsOf(sample), column), sample]);
    // Samples without a value come last in either order; equal ones keep the order of the run.
    keyed.sort(([a], [b]) => (a === null || b === null ? (a === null) - (b === null) : sign * (a - b)));
    return keyed.map(([, sample]) => sample);
  }

  function find() {
    words = state.q.split(/\s+/).filter(Boolean);
    const tests = words.map((word) => new RegExp(pattern(word), "i"));
    found = data.samples.filter((sample) => {
      if (state.task !== "" && String(sample.task) !== state.task) return false;
      const groups = groupsOf(sample);
      if (!groups.length || !hasStatus(groups)) return false;
      if (!tests.length) return true;
      const text = searched(sample, groups);
      return tests.every((test) => test.test(text));
    });
    if (state.sort !== "") found = sorted(found);
  }

  // ---- one sample ----------------------------------------------------------------------------------------------

  function promptBlock(prompt) {
    if (prompt === null) return element("p", "quiet", "none");
    if (!Array.isArray(prompt)) return textBlock(prompt);
    const turns = prompt.map(([role, text]) =>
      element("div", "turn", element("span", "role", bidiName(role)), textBlock(text)));
    return element("div", "turns", ...turns);
  }

  function referencesBlock(references) {
    if (!references.length) return element("p", "quiet", "none");
    const items = references.map((text) => element("li", "", textBlock(text)));
    const block = element("div", "", element("ol", "references", ...items.slice(0, FIRST_REFERENCES)));
    if (items.length > FIRST_REFERENCES) {
      const rest = element("ol", "references", ...items.slice(FIRST_REFERENCES));
      rest.start = FIRST_REFERENCES + 1;
      const more = items.length - FIRST_REFERENCES;
      block.append(element("details", "", element("summary", "", more + " more"), rest));
    }
    return block;
  }

  function scoreItem(column, cell) {
    const value = valueOf(cell);
    const known = typeof value === "number";
    const shown = known ? number(value, column.decimals) : cell === null ? "–" : data.statuses[statusOf(cell)];
    const item = element("div", column.kind + (known ? "" : " missing"), element("dt", "", bidiName(column.label)));
    item.append(element("dd", "", shown));
    if (column.kind === "term") item.title = visible(column.name);
    return item;
  }

  function scoreList(title, kinds, cells) {
    const items = data.columns.flatMap((column, index) =>
      kinds.includes(column.kind) ? [scoreItem(column, cells[index])] : []);
    const list = element("dl", "scores", ...items);
    list.setAttribute("aria-label", title);
    return items.length ? [list] : [];
  }

  // Why values are missing, or what a reward has to say of itself; scores with the same reason share a line.
  function reasonList(cells) {
    const lines = new Map();
    cells.forEach((cell, index) => {
      if (!Array.isArray(cell) || cell[1] < 0) return;
      const key = cell[0] + " " + cell[1];
      if (!lines.has(key)) lines.set(key, { cell, names: [] });
      lines.get(key).names.push(data.columns[index].name);
    });
    const items = [...lines.values()].map(({ cell, names }) => {
      const item = element("li", cell[0] ? "missing" : "");
      names.forEach((name, index) => item.append(index ? ", " : "", bidiName(name)));
      const reason = element("span", "", visible(data.reasons[cell[1]]));
      reason.dir = "auto";
      item.append(cell[0] ? " " + data.statuses[cell[0]] + ": " : ": ", reason);
      return item;
    });
    return items.length ? [element("ul", "why", ...items)] : [];
  }

  function completionItem(completion) {
    const left = element("div", "said");
    if (completion.text === null) left.append(element("p", "missing", "no text"));
    else if (completion.text === "") left.append(element("p", "quiet", "(empty)"));
    else left.append(textBlock(completion.text));
    if (completion.note) left.append(element("p", "note", visible(completion.note)));
    const right = element("div", "numbers",
      ...scoreList("Reward and its terms", ["reward", "term"], completion.cells),
      ...scoreList("Scores", ["score"], completion.cells),
      ...reasonList(completion.cells));
    return element("li", "completion", left, right);
  }

  function sampleCard(sample, position) {
    const title = element("h3", "", ...marked(sample.id));
    title.id = "sample-" + position;
    title.dir = "auto";
    const about = element("p", "about", bidiName(data.tasks[sample.task]));
    if (sample.language) about.append(" · ", bidiName(sample.language));
    const asked = element("div", "asked",
      element("div", "", element("h4", "", "Prompt"), promptBlock(sample.prompt)),
      element("div", "", element("h4", "", "References"), referencesBlock(sample.references)));
    const card = element("article", "sample", element("div", "heading", title, about), asked);
    card.setAttribute("aria-labelledby", title.id);
    for (const group of groupsOf(sample)) {
      const heading = element("h4", "", "Completions of ", bidiName(data.models[group.model]));
      const list = element("ol", "completions", ...group.completions.map(completionItem));
      list.start = 0; // as completion_index in the exports
      card.append(heading, list);
    }
    return card;
  }

  // ---- the list ------------------------------------------------------------------------------------------------

  function show() {
    const pages = Math.max(1, Math.ceil(found.length / PER_PAGE));
    state.page = Math.min(Math.max(1, state.page), pages);
    const first = (state.page - 1) * PER_PAGE;
    const part = found.slice(first, first + PER_PAGE);
    byId("list").replaceChildren(...part.map((sample, index) => sampleCard(sample, first + index)));
    const of = found.length.toLocaleString("en") + (found.length === 1 ? " sample" : " samples");
    byId("found").textContent = !found.length
      ? "No sample matches."
      : pages === 1 ? of : (first + 1) + "–" + (first + part.length) + " of " + of;
    for (const suffix of ["", "-below"]) {
      byId("previous" + suffix).disabled = state.page <= 1;
      byId("next" + suffix).disabled = state.page >= pages;
    }
    byId("pager").hidden = false;
    byId("pager").classList.toggle("single", pages === 1);
    byId("pager-below").hidden = pages === 1;
  }

  function turn(step, fromBelow) {
    state.page += step;
    show();
    remember();
    if (fromBelow) byId("pager").scrollIntoView();
  }

  function update() {
    byId("order").disabled = state.sort === "";
    find();
    show();
  }

  // The address carries the view, by names rather than numbers, so that it can be kept and shared.
  const named = { task: data.tasks, model: data.models, status: data.statuses, sort: data.columns.map((c) => c.name) };

  function remember() {
    const kept = new URLSearchParams();
    for (const field of fields) {
      const value = field in named && state[field] !== "" ? named[field][Number(state[field])] : state[field];
      if (value !== "" && !(field === "order" && state.sort === "")) kept.set(field, value);
    }
    if (state.page > 1) kept.set("page", state.page);
    const fragment = kept.toString();
    try {
      history.replaceState(null, "", fragment ? "#" + fragment : "#samples");
    } catch {
      // Some browsers forbid this for files; the page works without it.
    }
  }

  function recall() {
    const fragment = location.hash.slice(1);
    if (!fragment.includes("=")) return false;
    const kept = new URLSearchParams(fragment);
    for (const field of fields) {
      const value = kept.get(field) || "";
      const index = field in named ? named[field].indexOf(value) : -1;
      state[field] = field in named ? (index < 0 ? "" : String(index)) : value;
      if (field === "order" && value !== "desc") state.order = "asc";
      byId(field).value = state[field];
    }
    state.page = Number.parseInt(kept.get("page"), 10) || 1;
    return true;
  }

  function fill(id, first, names, keep) {
    const options = names.map((name, index) => [String(index), name]).filter(([value]) => !keep || keep.has(value));
    for (const [value, name] of [["", first], ...options]) {
      const option = element("option", "", visible(name));
      option.value = value;
      byId(id).append(option);
    }
  }

  function start() {
    const present = new Set(data.samples.flatMap((sample) => cellsOf(sample.groups).map((cell) => String(statusOf(cell)))));
    fill("task", "all tasks", data.tasks);
    fill("model", "all models", data.models);
    fill("status", "any", data.statuses.map((name, index) => (index ? "some " + name : "all ok")), present);
    fill("sort", "order of the run", named.sort);
    byId("controls").hidden = false;
    byId("controls").addEventListener("submit", (event) => event.preventDefault());
    let waiting = 0;
    for (const field of fields) {
      byId(field).addEventListener(field === "q" ? "input" : "change", () => {
        clearTimeout(waiting);
        waiting = setTimeout(() => {
          state[field] = byId(field).value;
          state.page = 1;
          update();
          remember();
        }, field === "q" ? 150 : 0);
      });
    }
    for (const [suffix, below] of [["", false], ["-below", true]]) {
      byId("previous" + suffix).addEventListener("click", () => turn(-1, below));
      byId("next" + suffix).addEventListener("click", () => turn(1, below));
    }
    addEventListener("hashchange", () => recall() && update());
    const recalled = recall();
    update();
    if (recalled) byId("samples").scrollIntoView();
  }

  start();
})();
