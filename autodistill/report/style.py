"""The style sheet and the small script of the HTML page.

Light and dark by the reader's preference, readable from 320 px on, printable. Contrasts of text are at least 4.5 to 1
(WCAG AA). The page works without the script: it only lets the figures follow the colour scheme.
"""

from __future__ import annotations

STYLE = """
:root {
  color-scheme: light dark;
  --paper: #ffffff; --card: #f6f7f9; --line: #dde1e8; --ink: #1c2330; --quiet: #566072; --accent: #1f5fb4;
  --good: #11703f; --good-paper: #e7f5ec; --warn: #8a4b00; --warn-paper: #fff4e0; --bad: #a82222;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14171c; --card: #1c2129; --line: #323a46; --ink: #e6e9ef; --quiet: #a5afbf; --accent: #7fb2f5;
    --good: #6fd19a; --good-paper: #14291e; --warn: #f0b45f; --warn-paper: #2c2213; --bad: #ff8d86;
  }
}
* { box-sizing: border-box }
html { -webkit-text-size-adjust: 100% }
body {
  margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
}
header, main, footer { max-width: 1080px; margin: 0 auto; padding: 0 24px }
header { padding-top: 36px }
footer { padding: 24px; color: var(--quiet); font-size: 14px }
h1 { font-size: 28px; line-height: 1.2; margin: 0 0 4px; overflow-wrap: anywhere }
h2 { font-size: 21px; line-height: 1.3; margin: 44px 0 6px }
h3 { font-size: 17px; margin: 0 0 4px; overflow-wrap: anywhere }
section > h3 { margin-top: 22px }
h4 { font-size: 14px; margin: 14px 0 4px; color: var(--quiet) }
p { margin: 6px 0; max-width: 75ch; overflow-wrap: anywhere }
a { color: var(--accent) }
small { display: block; color: var(--quiet); font-size: 13px }
abbr[title] { text-decoration: underline dotted; text-underline-offset: 3px; cursor: help }
.lead, .sub { color: var(--quiet) }
.verdict { border-left: 5px solid var(--quiet); background: var(--card); padding: 14px 18px;
  border-radius: 0 8px 8px 0; margin-top: 18px }
.verdict strong { display: block; font-size: 19px }
.verdict p { margin: 4px 0 0 }
.verdict.good { border-color: var(--good); background: var(--good-paper) }
.verdict.good strong { color: var(--good) }
.verdict.open { border-color: var(--warn); background: var(--warn-paper) }
.verdict.open strong { color: var(--warn) }
.alarms { background: var(--warn-paper); border: 1px solid var(--warn); border-radius: 8px;
  padding: 10px 14px 10px 34px; margin: 14px 0 }
.headlines { display: flex; flex-wrap: wrap; gap: 12px; margin: 18px 0 0 }
.headlines div, .card { background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  padding: 12px 16px }
.headlines div { padding: 10px 12px; flex: 1 1 118px }
.headlines dt { font-size: 14px; color: var(--quiet) }
.headlines dd { margin: 0; font-size: 20px; font-weight: 650; line-height: 1.3; white-space: nowrap }
.headlines small { font-weight: 400; white-space: normal; line-height: 1.35 }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 420px), 1fr)); gap: 16px;
  margin-top: 14px }
.card { min-width: 0 }
.scroll { overflow-x: auto; margin: 12px 0; border: 1px solid var(--line); border-radius: 10px }
.scroll:focus-visible, pre:focus-visible, summary:focus-visible { outline: 2px solid var(--accent);
  outline-offset: 2px }
table { border-collapse: separate; border-spacing: 0; width: 100%; font-size: 14.5px;
  font-variant-numeric: tabular-nums }
caption { text-align: left; padding: 10px 12px 6px; color: var(--quiet); font-size: 14px }
th, td { padding: 7px 12px; text-align: right; vertical-align: top; border-top: 1px solid var(--line);
  white-space: nowrap }
th:first-child { text-align: left; font-weight: 550 }
thead th { color: var(--quiet); font-weight: 600; vertical-align: bottom }
td .wide, th .wide { text-align: left; white-space: normal; min-width: 280px }
tbody th { white-space: normal; min-width: 110px; max-width: 280px; overflow-wrap: anywhere }
tbody th, thead th:first-child { position: sticky; left: 0; background: var(--paper) }
caption span { display: inline-block; max-width: min(75ch, calc(100vw - 70px)) }
tbody small { font-weight: 400 } tbody abbr[title] { text-decoration: none }
.card ul { margin: 4px 0; padding-left: 20px } .card li { margin-bottom: 8px }
.card small, small code { overflow-wrap: anywhere }
tr.pick > th { color: var(--good) }
tr.teacher > th { color: var(--accent) }
tr.first > * { border-top: 2px solid var(--quiet) }
.up { color: var(--good); font-weight: 600 } .down { color: var(--bad); font-weight: 600 }
dl { display: grid; grid-template-columns: minmax(110px, max-content) 1fr; gap: 2px 16px; margin: 8px 0;
  font-size: 14.5px }
dl dt { color: var(--quiet) } dl dd { margin: 0; overflow-wrap: anywhere }
dl.headlines { grid-template-columns: repeat(auto-fit, minmax(128px, 1fr)); gap: 12px }
pre { background: var(--paper); border: 1px solid var(--line); border-radius: 8px; padding: 10px 12px;
  overflow-x: auto; margin: 6px 0 }
code { font: 12.5px/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace }
details { margin: 10px 0 } summary { cursor: pointer; color: var(--accent) }
figure { margin: 12px 0 0 } figcaption { color: var(--quiet); font-size: 14px; max-width: 80ch }
.plot { min-height: 300px; overflow: hidden } .plot > div { height: auto !important }
noscript svg { width: 100%; height: auto; border: 1px solid var(--line); border-radius: 10px }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 400px), 1fr)); gap: 20px 28px }
.pair > * { min-width: 0 }
@media (max-width: 560px) {
  header, main { padding-left: 16px; padding-right: 16px }
  h1 { font-size: 24px }
  .headlines dd { font-size: 20px } tbody th { max-width: 150px } th, td { padding: 7px 9px }
  dl:not(.headlines) { grid-template-columns: 1fr; gap: 0 } dl:not(.headlines) dd { margin-bottom: 6px }
}
@media print {
  .scroll { overflow: visible; border: 0 } details:not([open]) { display: none } section { break-inside: avoid-page }
}
"""

#: Gives the figures the width of their place, ink and lines of the reader's colour scheme, and on small screens the
#: height that a legend of one entry per line takes.
SCRIPT = """
(function () {
  var dark = window.matchMedia('(prefers-color-scheme: dark)'), narrow = window.matchMedia('(max-width: 560px)');
  function dress() {
    var ink = dark.matches ? '#c9d0db' : '#3d4654', grid = dark.matches ? '#2d333d' : '#dfe3ea';
    var paper = dark.matches ? '#1c2129' : '#ffffff';
    document.querySelectorAll('.plotly-graph-div').forEach(function (figure) {
      figure.dataset.height = figure.dataset.height || figure.layout.height;
      var legend = figure.layout.showlegend === false ? 0 : 19 * figure.data.length;
      var height = Number(figure.dataset.height) + (narrow.matches ? legend : 0);
      figure.style.height = height + 'px';
      Plotly.relayout(figure, {
        'font.color': ink, 'xaxis.gridcolor': grid, 'yaxis.gridcolor': grid, 'hoverlabel.bgcolor': paper,
        'hoverlabel.font.color': ink, 'hoverlabel.bordercolor': grid,
        width: figure.parentElement.clientWidth, height: height
      });
    });
  }
  dress();
  dark.addEventListener('change', dress);
  window.addEventListener('resize', dress);
})();
"""
