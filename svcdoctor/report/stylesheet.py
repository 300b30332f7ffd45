"""How the page of html.py looks. Colours keep a contrast of 4.5 to 1 on their ground, both light and dark."""

STYLESHEET = """
:root {
  color-scheme: light dark;
  --ground: #ffffff; --raised: #f5f6f8; --line: #d5d9e0; --ink: #1b1f26; --soft: #58606e;
  --pass: #1a6f3c; --fail: #b3161f; --warn: #855700; --unknown: #1c5fa8; --note: #58606e; --skip: #58606e;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #14171c; --raised: #1d2128; --line: #39404b; --ink: #e4e7ec; --soft: #a0a8b5;
    --pass: #63c98b; --fail: #ff8087; --warn: #e5b454; --unknown: #7db8f5; --note: #a0a8b5; --skip: #a0a8b5;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 2rem 1.25rem 4rem; max-width: 68rem;
  background: var(--ground); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere;
}
h1 { margin: 0; font-size: 1.6rem; line-height: 1.2; }
h2 { margin: 2rem 0 .5rem; font-size: 1.1rem; }
p { margin: .4rem 0; }
code, pre { font: .9em/1.45 ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; }
pre {
  margin: .3rem 0 .6rem; padding: .6rem .75rem; border: 1px solid var(--line); border-radius: 4px;
  background: var(--ground); white-space: pre-wrap; user-select: all;
}
.counts { font-size: 1.1rem; }
.aside { color: var(--soft); font-size: .9rem; white-space: pre-wrap; }
details.entry { border: 1px solid var(--line); border-bottom-width: 0; padding: 0 1rem; }
details.entry:last-of-type, details.entry:has(+ h2) { border-bottom-width: 1px; }
details.entry[open] { background: var(--raised); padding-bottom: 1rem; }
summary { margin: 0 -1rem; padding: .5rem 1rem .5rem 7.9rem; text-indent: -6.9rem; cursor: pointer; }
summary > * { text-indent: 0; }
summary:hover { background: var(--raised); }
summary:focus-visible { outline: 3px solid var(--unknown); outline-offset: -3px; }
summary .name { font-weight: 600; }
summary .says { margin: 0 .5rem; }
summary code { color: var(--soft); white-space: nowrap; }
.mark { display: inline-block; min-width: 5.5rem; font-weight: 600; white-space: nowrap; }
.pass { color: var(--pass); } .fail { color: var(--fail); } .warn { color: var(--warn); }
.unknown { color: var(--unknown); } .note { color: var(--note); } .skip { color: var(--skip); }
.finding { margin: .75rem 0; padding: .1rem 0 .1rem .9rem; border-left: 4px solid currentColor; }
.finding > * { color: var(--ink); }
.finding > .aside, dd .aside { color: var(--soft); }
.label { display: inline-block; min-width: 4rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; margin: .4rem 0; }
dt { color: var(--soft); max-width: 12rem; } dd { margin: 0; }
ol.walk { margin: 1rem 0 0; padding-left: 1.6rem; }
ol.walk > li { margin: .35rem 0; }
.step { display: inline-block; min-width: 6rem; font-weight: 600; }
.typed { display: block; color: var(--soft); }
ul.endpoints { margin: .3rem 0; padding: 0; list-style: none; }
ul.endpoints > li { white-space: pre-wrap; }
@media (max-width: 40rem) {
  dl { grid-template-columns: 1fr; } dd { margin-bottom: .3rem; }
  summary { padding-left: 2.2rem; text-indent: -1.2rem; } summary .says { display: block; margin: 0; }
  summary code { white-space: normal; }
}
@media print {
  body { max-width: none; padding: 0; font-size: 10pt; }
  details.entry::details-content { content-visibility: visible; block-size: auto; }
  #healthy ~ details.entry::details-content { content-visibility: hidden; block-size: 0; }
  .finding, pre { break-inside: avoid; }
  h2, summary { break-after: avoid; }
}
"""
