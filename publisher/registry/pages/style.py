"""The style sheet of the registry's pages, light and dark. It uses no scripts and no external resources."""

STYLE = """
:root {
  color-scheme: light dark;
  --ground: #fbfbf9; --card: #ffffff; --text: #1d2024; --faint: #646b74; --line: #e1e3e0; --accent: #1a5fb4;
  --in: #2a6f97; --out: #3f7d3a; --bad: #b3261e; --chip: #eef0ec;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #15171a; --card: #1d2024; --text: #e4e6e8; --faint: #9aa2ab; --line: #30353b; --accent: #86b6f6;
    --in: #7cc0e8; --out: #93cf8c; --bad: #f2a29c; --chip: #2a2f35;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--text); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 68rem; margin: 0 auto; padding: 1.5rem 1.25rem 4rem; }
a { color: var(--accent); text-decoration: none; }
a:hover { text-decoration: underline; }
h1 { font-size: 1.5rem; margin: 0.25rem 0 0; }
h2 { font-size: 1.05rem; margin: 2rem 0 0.75rem; }
h3 { font-size: 0.78rem; margin: 0 0 0.25rem; text-transform: uppercase; letter-spacing: 0.05em; color: var(--faint); }
code, .mono { font: 0.87em/1.5 ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; }
.hash { overflow-wrap: anywhere; color: var(--faint); margin: 0 0 1rem; }
.account { float: right; font-size: 0.85rem; margin: 0; }
.crumb { font-size: 0.85rem; color: var(--faint); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0.2rem 1.25rem; margin: 0; }
dt { color: var(--faint); }
dd { margin: 0; overflow-wrap: anywhere; }
article, .card { background: var(--card); border: 1px solid var(--line); border-radius: 8px; }
article { margin: 0 0 1rem; padding: 0.9rem 1.1rem; }
article:target { border-color: var(--accent); }
.card { padding: 0.9rem 1.1rem; }
.head { display: flex; flex-wrap: wrap; gap: 0.3rem 0.75rem; align-items: baseline; color: var(--faint);
  font-size: 0.85rem; }
.head strong { color: var(--text); font-size: 1rem; }
.chip { background: var(--chip); border-radius: 4px; padding: 0 0.45rem; }
.bad { color: var(--bad); }
.command { margin: 0.5rem 0 0.8rem; white-space: pre-wrap; overflow-wrap: anywhere; }
.links { display: grid; grid-template-columns: 1fr 1fr; gap: 1rem 1.5rem; }
@media (max-width: 46rem) { .links { grid-template-columns: 1fr; } }
.in h3 { color: var(--in); }
.out h3 { color: var(--out); }
table { border-collapse: collapse; width: 100%; }
td, th { text-align: left; vertical-align: baseline; padding: 0.15rem 0.75rem 0.15rem 0; font-weight: normal;
  overflow-wrap: anywhere; }
th { color: var(--faint); font-size: 0.85rem; }
td.fixed { white-space: nowrap; width: 1%; color: var(--faint); }
td.number { text-align: right; white-space: nowrap; width: 1%; padding-right: 0; }
details { margin-top: 0.7rem; }
summary { cursor: pointer; color: var(--faint); font-size: 0.85rem; }
.picture { overflow: auto; max-height: 80vh; background: var(--card); border: 1px solid var(--line);
  border-radius: 8px; margin: 0 calc(50% - min(50vw - 1.25rem, 60rem)) 1rem; }
.picture > svg { display: block; margin: 0 auto; }
.picture text { font: 12px/1 ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; fill: var(--text); }
.picture text.note { font-size: 10.5px; fill: var(--faint); }
.node rect { fill: var(--card); stroke: var(--line); stroke-width: 1.5; }
.node.job rect { fill: var(--chip); stroke: var(--accent); }
.node.group rect { fill: var(--chip); stroke: var(--accent); stroke-dasharray: 5 3; }
.node.artifact rect { stroke: var(--out); }
.node.failed rect { stroke: var(--bad); }
.node.centre rect { stroke-width: 3.5; }
.node:hover rect, .more:hover rect { stroke-width: 3; }
.more rect { fill: var(--accent); stroke: var(--card); }
.picture .more text { fill: var(--card); font-size: 10.5px; }
.edges path { fill: none; stroke: var(--faint); stroke-opacity: 0.55; stroke-width: 1.3; marker-end: url(#arrow); }
.edges path.near { stroke: var(--accent); stroke-opacity: 1; stroke-width: 2; }
.picture marker path { fill: var(--faint); }
a:focus-visible, .picture:focus-visible, summary:focus-visible { outline: 3px solid var(--accent);
  outline-offset: 2px; }
.node:focus-visible rect, .more:focus-visible rect { stroke: var(--accent); stroke-width: 4; }
.wide { overflow-x: auto; }
.card + nav, .head + .links { margin-top: 0.75rem; }
@media (max-width: 46rem) {
  .wide table, .wide tbody { display: block; }
  .wide tr { display: flex; flex-wrap: wrap; gap: 0 0.9rem; padding: 0.4rem 0; border-bottom: 1px solid var(--line); }
  .wide tr:has(th) { display: none; }
  .wide td, .wide td.fixed { width: auto; padding: 0; }
}
.search { display: flex; flex-wrap: wrap; gap: 0.5rem; margin: 0 0 1rem; }
.search input { flex: 1 1 16rem; }
input, select, button { font: inherit; color: var(--text); background: var(--card); border: 1px solid var(--faint);
  border-radius: 6px; padding: 0.3rem 0.6rem; max-width: 100%; }
[aria-current="page"] { font-weight: bold; color: var(--text); }
nav { display: flex; flex-wrap: wrap; gap: 0.5rem 1.25rem; margin: 0 0 1rem; font-size: 0.9rem; color: var(--faint); }
.empty { color: var(--faint); font-size: 0.9rem; margin: 0; }
td a, td.number { font-size: 0.87rem; }
"""
