"""The style sheet of the page: images beside the controls, on a phone above them."""

from gmmedit.web import bars

CSS = (
    bars.CSS
    + """
#work{display:grid !important;grid-template-columns:minmax(0,3fr) minmax(18rem,2fr);grid-template-rows:auto 1fr;
gap:1rem;grid-template-areas:"images controls" "results controls"}
#images{grid-area:images}#controls{grid-area:controls}#results{grid-area:results}
#images .pair{flex-wrap:nowrap}
#images .pair>*{padding-top:1.8rem}
#images .image-container,#images .image-container>button,#images .image-frame{width:100%}
#cut img{width:100%;height:100%;object-fit:contain}
#images img{width:100%;height:auto;max-height:60vh;object-fit:contain}
#images{gap:.4rem}
#status,#status .html-container{padding:0;min-height:0}
#status p{margin:0;color:var(--body-text-color-subdued);font-size:.85rem}
#samples .grid-wrap,#strips .grid-wrap{min-height:0;height:auto;max-height:none}
#command textarea{font-family:var(--font-mono);font-size:.85rem}
#title p{color:var(--body-text-color-subdued)}
input[type=range]:focus-visible,button:focus-visible{outline:3px solid var(--color-accent);outline-offset:2px}
@media (max-width:48rem){
#work{display:flex !important;flex-direction:column;flex-wrap:nowrap}
#work>*{width:100%}
#images{position:sticky;top:0;z-index:50;background:var(--body-background-fill);padding-bottom:.3rem}
#images img{max-height:34vh}
input[type=range]{height:1.6rem}
}
"""
)
# Out of reach of CSS, whose selectors gradio applies inside of its container only.
HEAD = "<style>@media (max-width:48rem){.gradio-container{overflow:visible !important}}</style>"
