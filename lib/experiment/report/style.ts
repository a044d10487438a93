// The style of a report: its colours for light and dark surroundings and for paper.

const light = {
  "--paper": "#ffffff",
  "--ink": "#1b1f24",
  "--quiet": "#5f6b76",
  "--rule": "#d5dae0",
  "--ours": "#0060a812",
  "--shade": "#1b1f2440",
  "--notice": "#fff4d6",
  "--notice-rule": "#b98900",
  "--link": "#0b5cad",
  ...series(["#0060a8", "#c44a00", "#00795a", "#8e3a8f", "#8a6700", "#c2185b", "#4b6b00", "#007a87", "#6d4c41", "#3f51b5"]),
};

const dark: typeof light = {
  "--paper": "#14181c",
  "--ink": "#e8eaed",
  "--quiet": "#a3adb8",
  "--rule": "#3a424b",
  "--ours": "#6cb6ff1c",
  "--shade": "#00000099",
  "--notice": "#33290f",
  "--notice-rule": "#d9a520",
  "--link": "#7cb8ff",
  ...series(["#6cb6ff", "#ff9e64", "#4fd1a5", "#d6a0e8", "#e8c35a", "#ff7fab", "#b5d266", "#5fd3e0", "#d0a898", "#a3b1ff"]),
};

function series(colours: readonly string[]): Record<string, string> {
  return Object.fromEntries(colours.map((colour, i) => [`--series-${i}`, colour]));
}

function variables(colours: Record<string, string>): string {
  return Object.entries(colours)
    .map(([name, value]) => `${name}:${value}`)
    .join(";");
}

/** Colours of the surroundings; paper is always light. */
const colours = `:root{color-scheme:light dark;${variables(light)}}
@media (prefers-color-scheme:dark){:root{${variables(dark)}}}
@media print{:root{color-scheme:light;${variables(light)}}}`;

/** Style of a figure that is a file of its own. */
export const fileStyle = `${colours}
svg{color:var(--ink);background:var(--paper)}
text{white-space:pre}`;

export const pageStyle = `${colours}
*{box-sizing:border-box}
body{margin:0 auto;max-width:86rem;padding:1.5rem clamp(1rem,3vw,2.5rem) 4rem;background:var(--paper);color:var(--ink);
  font:16px/1.5 system-ui,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
h1{font-size:1.8rem;line-height:1.2;margin:0 0 .5rem}
h2{font-size:1.35rem;margin:2.75rem 0 .5rem;padding-bottom:.25rem;border-bottom:1px solid var(--rule)}
h3{font-size:1.1rem;margin:2rem 0 .25rem}
p,figcaption{max-width:50rem}
a{color:var(--link)}
small,.quiet{color:var(--quiet)}
small{font-size:.82em}
nav ul{display:flex;flex-wrap:wrap;gap:.25rem 1.25rem;padding:0;list-style:none}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.15rem 1rem;margin:1rem 0}
dt{color:var(--quiet)}
dd{margin:0;overflow-wrap:anywhere}
.notice{border-left:4px solid var(--notice-rule);background:var(--notice);padding:.75rem 1rem;margin:1rem 0;max-width:60rem}
.notice p{margin:0 0 .4rem}
.notice ul{margin:0;padding-left:1.2rem}
.finding{font-size:1.1rem;max-width:60rem}
.scroll{overflow-x:auto;margin:.75rem 0 1.5rem;background:
  linear-gradient(to left,var(--paper) 30%,transparent) right/3rem 100% no-repeat local,
  linear-gradient(to left,var(--shade),transparent) right/1rem 100% no-repeat scroll}
table{border-collapse:separate;border-spacing:0;font-size:.92rem;font-variant-numeric:tabular-nums}
caption{caption-side:top;text-align:left;padding-bottom:.4rem;color:var(--quiet)}
caption span{position:sticky;left:0;display:inline-block;max-width:min(50rem,calc(100vw - 2.5rem))}
tbody th,thead tr:first-child th:first-child{position:sticky;left:0;z-index:1;background:var(--paper);border-right:1px solid var(--rule)}
th,td{padding:.35rem .7rem;text-align:right;vertical-align:top;border-bottom:1px solid var(--rule);white-space:nowrap}
thead th{vertical-align:bottom;border-bottom:2px solid var(--rule);font-weight:600}
thead th[scope=colgroup]{text-align:center;border-bottom:1px solid var(--rule)}
tbody th,thead tr:first-child th:first-child{text-align:left;font-weight:600}
th.text,td.text{text-align:left}
td.text,tbody th{white-space:normal}
td.text{min-width:6rem}
tbody th{min-width:9rem}
table.wide{font-size:.85rem}
table.wide .sd{display:block}
table.wide th,table.wide td{padding:.3rem .4rem}
table.wide thead th{white-space:normal}
table.wide .badge{display:table;margin:0 0 0 auto}
table.text th,table.text td{text-align:left;white-space:normal;overflow-wrap:break-word}
table.text td:not(:empty){min-width:5rem}
table.text td:last-child{min-width:15rem}
td small,th small{display:block;font-weight:400}
.ours{background:var(--ours)}
td.ours{font-weight:600}
td.ours small{font-weight:400}
.badge{display:inline-block;border:1px solid var(--notice-rule);background:var(--notice);color:var(--ink);border-radius:.6rem;padding:0 .45rem;
  font-size:.78rem;font-weight:600;line-height:1.35}
figure{margin:.25rem 0 2.5rem}
figcaption{margin-bottom:.6rem}
.legend{display:flex;flex-wrap:wrap;gap:.2rem 1.2rem;margin:.4rem 0 .8rem;padding:0;list-style:none;font-size:.9rem}
.legend li{display:flex;align-items:center;gap:.4rem}
.panels{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,23rem),1fr));gap:1rem 1.5rem}
.panels h4{font-size:.95rem;margin:0 0 .1rem;overflow-wrap:anywhere}
.plot{display:block;max-width:100%;height:auto}
.plot text{white-space:pre}
@media (max-width:40rem){
  tbody th,thead tr:first-child th:first-child{white-space:normal;min-width:6.5rem;max-width:38vw;overflow-wrap:anywhere}
  th,td,table.wide th,table.wide td{padding:.3rem .45rem}
  dl{grid-template-columns:1fr}
  dd{margin-bottom:.4rem}
}
@media print{
  body{font-size:10pt;max-width:none;padding:0}
  nav{display:none}
  h2,h3,h4,figcaption,.legend{break-after:avoid}
  .badge{font-size:.85em;padding:0 .3em}
  table{font-size:8pt}
  th,td,table.wide th,table.wide td{padding:.15rem .25rem}
  table.wide{font-size:6pt}
  tr,.panels>div,.notice,figcaption,.legend{break-inside:avoid}
  .scroll{overflow:visible;background:none}
  tbody th,thead tr:first-child th:first-child,caption span{position:static}
  .panels{grid-template-columns:repeat(2,1fr)}
  .ours,.notice,.badge{print-color-adjust:exact;-webkit-print-color-adjust:exact}
}`;
