"""The look of the HTML report: one column, two on wide screens, light and dark."""

CSS = """
:root {
  color-scheme: light dark;
  --page: #f5f6f8; --card: #ffffff; --text: #1d232b; --muted: #5b6572; --line: #dfe3e8;
  --link: #005f94; --good: #1a7f4b; --warn: #a35200; --bad: #b3261e; --calm: #5b6572;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #12161c; --card: #1b212a; --text: #e8ebef; --muted: #a3adb9; --line: #2f3742;
    --link: #7cc4ee; --good: #5fcf97; --warn: #f0a355; --bad: #ff8a80; --calm: #a3adb9;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--page); color: var(--text);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif;
}
main { max-width: 1120px; margin: 0 auto; padding: 28px 20px 64px; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 4px; overflow-wrap: anywhere; }
h2 { font-size: 1.35rem; line-height: 1.25; margin: 0; overflow-wrap: anywhere; }
h3 { font-size: 1.05rem; margin: 28px 0 10px; }
h4 { font-size: 1rem; margin: 0; }
p { margin: 8px 0; }
a { color: var(--link); }
.muted, figcaption, caption { color: var(--muted); font-size: .875rem; }
section.run { margin-top: 40px; }
.card {
  background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  padding: 18px 20px; margin-top: 14px;
}
.lead { font-size: 1.125rem; line-height: 1.45; margin: 12px 0 6px; overflow-wrap: anywhere; }
.badges { display: flex; flex-wrap: wrap; gap: 8px; align-items: center; margin-top: 10px; }
.badge {
  border: 1px solid currentColor; border-radius: 999px; padding: 1px 11px; font-size: .875rem;
  font-weight: 600; white-space: nowrap;
}
.good { color: var(--good); } .warn { color: var(--warn); }
.bad { color: var(--bad); } .calm { color: var(--calm); }
.finding { border-left: 4px solid currentColor; }
.finding > * { color: var(--text); }
.finding .badge { color: inherit; }
.finding.bad .badge { color: var(--bad); } .finding.warn .badge { color: var(--warn); }
.try { border-top: 1px solid var(--line); margin-top: 12px; padding-top: 10px; }
.try dl {
  display: grid; grid-template-columns: max-content 1fr; gap: 3px 14px; margin: 8px 0 0;
}
dt { color: var(--muted); } dd { margin: 0; overflow-wrap: anywhere; }
code {
  font: .85em/1.45 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace;
  background: var(--page); border: 1px solid var(--line); border-radius: 5px; padding: 1px 5px;
  overflow-wrap: anywhere;
}
.grid {
  display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 480px), 1fr));
  gap: 14px; margin-top: 14px;
}
.grid > figure { margin-top: 0; }
figure {
  margin: 14px 0 0; background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  padding: 10px 10px 8px; min-width: 0;
}
figcaption { padding: 6px 8px 2px; }
.scroll {
  overflow-x: auto; background: var(--card); border: 1px solid var(--line); border-radius: 10px;
}
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th, td {
  padding: 7px 12px; text-align: left; vertical-align: top; border-top: 1px solid var(--line);
}
thead th { border-top: 0; color: var(--muted); font-weight: 600; }
td.number, th.number {
  text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap;
}
td .name { display: inline-block; min-width: 9rem; overflow-wrap: anywhere; }
td code { white-space: nowrap; }
td.text code, dd code { white-space: normal; }
td.text { min-width: 16rem; overflow-wrap: anywhere; }
details { margin-top: 14px; }
summary { cursor: pointer; color: var(--link); padding: 4px 0; }
details[open] > summary { margin-bottom: 8px; }
ul { margin: 8px 0; padding-left: 1.2rem; } li { margin: 4px 0; overflow-wrap: anywhere; }
@media (max-width: 560px) {
  main { padding: 18px 12px 48px; }
  .card { padding: 14px; }
  figure { padding: 6px 2px; }
  .try dl { grid-template-columns: 1fr; gap: 0; }
  .try dd { margin-bottom: 6px; }
  th, td { padding: 6px 9px; }
}
@media print { body { background: none; } .card, figure { break-inside: avoid; } }
"""
