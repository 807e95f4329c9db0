"""The style sheet of the report: for phones first, dark and light, with the palette of Okabe and Ito (2008)."""

MOST_STEPS = 8  # rows of a step selector that can be shown alone

CSS = """
:root{color-scheme:light dark;--paper:#fff;--ink:#1b1b1b;--soft:#5c5c5c;--line:#d4d4d4;--card:#f5f5f5;--link:#0059a3;
--c0:#d55e00;--c1:#0072b2;--c2:#009e73;--c3:#cc79a7;--c4:#e69f00;--c5:#56b4e9;--c6:#1b1b1b}
@media (prefers-color-scheme:dark){:root{--paper:#141414;--ink:#ececec;--soft:#a8a8a8;--line:#3d3d3d;--card:#1f1f1f;
--link:#7cc4ff;--c0:#ee7a24;--c1:#3d9bdc;--c2:#1fbf92;--c6:#ececec}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0 auto;padding:1rem;max-width:75rem;background:var(--paper);color:var(--ink);
font:1rem/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;overflow-wrap:anywhere}
h1{font-size:1.6rem;line-height:1.2;margin:.5rem 0}
h2{font-size:1.3rem;margin:2.6rem 0 .4rem;padding-top:.5rem;border-top:2px solid var(--line)}
h3{font-size:1.1rem;margin:1.6rem 0 .3rem}
h4{font-size:1rem;margin:1.1rem 0 .3rem}
p,ul,figcaption{max-width:46rem}
p,ul{margin:.5rem 0}
ul{padding-left:1.2rem}
a{color:var(--link)}
nav ul{display:flex;flex-wrap:wrap;gap:.2rem 1rem;list-style:none;padding:0;max-width:none}
nav a{display:inline-block;padding:.3rem 0}
.note{border-left:4px solid var(--c4);padding:.3rem .8rem;background:var(--card)}
code,pre{font-family:ui-monospace,"DejaVu Sans Mono",monospace;font-size:.85em}
pre{background:var(--card);padding:.7rem;overflow-x:auto;overflow-wrap:normal}
.scroll{overflow-x:auto;margin:.7rem 0;max-width:100%;width:fit-content}
table{border-collapse:separate;border-spacing:0;font-size:.85rem;font-variant-numeric:tabular-nums;overflow-wrap:normal}
th,td{padding:.25rem .55rem;text-align:left;border-bottom:1px solid var(--line);vertical-align:top}
thead th{white-space:nowrap;vertical-align:bottom}
td{white-space:nowrap}
th[scope=row]{font-weight:600}
th[scope=row] span{display:block;width:max-content;max-width:min(18rem,44vw);overflow-wrap:break-word}
.heat td{text-align:right;min-width:2.9rem;border:1px solid var(--paper)}
.heat thead span{display:inline-block;max-height:12rem;writing-mode:vertical-rl;transform:rotate(180deg)}
th[scope=row]{position:sticky;left:0;background:var(--paper)}
.bar{display:inline-block;width:6rem;height:.65rem;background:var(--line)}
.bar span{display:block;height:100%;background:var(--c1)}
figure{margin:.6rem 0}
figcaption{font-size:.85rem;color:var(--soft)}
img{display:block;max-width:100%;height:auto}
.verdict{font-size:1.15rem;max-width:62rem}
.screen{display:flex;flex-wrap:wrap;gap:.4rem 1.6rem;align-items:flex-start}
.screen>*{min-width:0;max-width:100%}
.sheet{flex:1 1 30rem}
.sheet figure figure{margin:0;text-align:center}
.sheet thead th{white-space:normal;font-weight:400;font-size:.75rem;text-align:center}
.sheet td,.sheet th{padding:.1rem;border:0}
.sheet td img,.sheet th img{width:4.9rem;max-width:none;margin:auto}
.cards{display:grid;gap:.5rem 1rem;grid-template-columns:repeat(auto-fill,minmax(9.5rem,1fr))}
.cards figure{margin:0;text-align:left}
.cards img{width:100%}
.cards strong{font-size:.85rem;font-weight:600}
.charts,.pair,.picks{display:grid;gap:.4rem 1.4rem;align-items:start}
.charts{grid-template-columns:repeat(auto-fill,minmax(10.2rem,1fr))}
.pair,.wide{grid-template-columns:repeat(auto-fit,minmax(min(100%,21rem),1fr))}
.picks{grid-template-columns:repeat(auto-fill,minmax(min(100%,20rem),1fr))}
.chart svg{display:block;width:100%;max-width:30rem;height:auto}
.chart text{font-size:11px;fill:var(--ink)}
.small text{font-size:10px}
.small .strong path{stroke-width:1.8}
.grid,.axis,.guide,.faint,.line path,.cross{fill:none}
.grid{stroke:var(--line);stroke-width:.6}
.axis{stroke:var(--soft)}
.guide{stroke:var(--soft);stroke-dasharray:1 3}
.faint{stroke:var(--soft);stroke-width:.7;opacity:.5}
.line path{stroke:currentColor;stroke-width:1.6;stroke-linejoin:round}
.line circle,.line .mark{fill:currentColor;stroke:none}
.strong path{stroke-width:3}
.strong .mark{stroke-width:0}
.band{fill:currentColor;opacity:.14}
.c0{color:var(--c0)}.c1{color:var(--c1)}.c2{color:var(--c2)}.c3{color:var(--c3)}.c4{color:var(--c4)}
.c5{color:var(--c5)}.c6{color:var(--c6)}
.legend{display:flex;flex-wrap:wrap;gap:.1rem 1rem;list-style:none;padding:0;margin:.2rem 0;font-size:.85rem}
.legend li{display:flex;gap:.35rem;align-items:center;min-width:0}
.legend svg{flex:none;display:inline-block;width:36px;height:14px;vertical-align:middle}
.steps{border:0;padding:0;margin:.4rem 0;min-width:0}
.steps legend{padding:0;font-size:.85rem;color:var(--soft)}
.steps input{position:absolute;opacity:0;width:1px;height:1px}
.steps label{display:inline-block;min-width:2.6rem;padding:.35rem .5rem;margin:0 .15rem .4rem 0;text-align:center;
border:1px solid var(--soft);border-radius:.3rem;font-size:.85rem;cursor:pointer}
.steps input:checked+label{background:var(--ink);color:var(--paper)}
.steps input:focus-visible+label{outline:3px solid var(--c4);outline-offset:1px}
.under{display:grid;max-width:34rem;text-align:center;font-variant-numeric:tabular-nums}
.rows figure{display:grid;grid-template-columns:2.1rem 1fr;align-items:center;margin:0 0 .35rem;max-width:34rem}
.rows .under{grid-column:2}
.rows b{font-size:.8rem;font-weight:400}
.rows img,.picks img{width:100%;max-width:34rem}
summary{cursor:pointer;padding:.4rem 0;color:var(--link)}
@media (min-width:60rem){body{padding:1.5rem 2.5rem}}
@media print{.steps label{display:none}.scroll{overflow:visible}}
""" + "".join(
    f".steps input:nth-of-type({i + 2}):checked~.rows>figure:not(:nth-child({i + 1})){{display:none}}\n"
    for i in range(MOST_STEPS)
)
