// SPDX-License-Identifier: Apache-2.0

/// How the page looks, and the one thing that a script adds: filters.
enum ReportStyle {
  static let css = """
    :root { color-scheme: light dark; --ink: #1b1f24; --paper: #ffffff; --soft: #f3f5f7; --line: #c5ccd3;
      --link: #0b57b0; --good: #11602f; --bad: #9b1c1c; --open: #6a4b00; --muted: #4a545e; --holds: #d8ead9; }
    @media (prefers-color-scheme: dark) { :root { --ink: #e8eaed; --paper: #14171a; --soft: #1f2429;
      --line: #4b545d; --link: #8ab8ff; --good: #7fd89a; --bad: #ff9d94; --open: #f0c674; --muted: #b4bcc4;
      --holds: #1f4429; } }
    * { box-sizing: border-box; }
    body { margin: 0; font: 16px/1.55 system-ui, sans-serif; color: var(--ink); background: var(--paper); }
    main, header, footer { max-width: 76rem; margin: 0 auto; padding: 0 1rem; }
    a { color: var(--link); } a:focus-visible, summary:focus-visible, select:focus-visible, .scroll:focus-visible {
      outline: 3px solid var(--link); outline-offset: 2px; }
    .skip { position: absolute; left: -999rem; } .skip:focus { left: 1rem; top: 1rem; background: var(--paper); padding: .5rem; }
    h1 { font-size: 1.7rem; line-height: 1.25; } h2 { margin-top: 3rem; border-top: 1px solid var(--line); padding-top: 1rem; }
    h3 { margin-top: 1.8rem; }
    .totals { display: flex; flex-wrap: wrap; gap: .75rem; padding: 0; list-style: none; }
    .totals li { background: var(--soft); border: 1px solid var(--line); border-radius: .4rem; padding: .4rem .8rem; }
    .totals b { font-size: 1.3rem; margin-right: .35rem; }
    .filters { display: flex; flex-wrap: wrap; gap: 1rem; margin: 1rem 0; } .filters[hidden] { display: none; }
    select { font: inherit; color: inherit; background: var(--paper); border: 1px solid var(--line); padding: .2rem; max-width: 16rem; }
    .scroll { overflow-x: auto; border: 1px solid var(--line); border-radius: .4rem; }
    table { border-collapse: collapse; width: 100%; font-size: .92rem; }
    th, td { text-align: left; vertical-align: top; padding: .45rem .6rem; border-bottom: 1px solid var(--line); }
    thead th { background: var(--soft); position: sticky; top: 0; }
    td.statement { min-width: 18rem; } td.number { white-space: nowrap; }
    .verdict { font-weight: 600; white-space: nowrap; }
    .reproduced { color: var(--good); } .not-reproduced { color: var(--bad); } .inconclusive, .needs-records { color: var(--open); }
    .muted { color: var(--muted); } code { font-size: .9em; overflow-wrap: anywhere; }
    figure { margin: 1rem 0; } .picture { background: #fff; color: #000; border: 1px solid var(--line); border-radius: .4rem;
      padding: .5rem; overflow-x: auto; } .picture svg, .picture img { max-width: 100%; height: auto; display: block; }
    figcaption { margin-top: .6rem; font-size: .95rem; max-width: 62rem; }
    details { margin: .6rem 0; } .criterion { margin: 0; font-size: .9em; } .criterion summary { font-weight: 400; color: var(--muted); }
    summary { cursor: pointer; font-weight: 600; }
    pre { background: var(--soft); padding: .6rem; overflow-x: auto; border-radius: .4rem; }
    .forest { display: block; } .forest .holds { fill: var(--holds); } .forest .bound { stroke: var(--muted); stroke-dasharray: 3 2; }
    .forest .interval { stroke: var(--ink); stroke-width: 2; } .forest .estimate { fill: var(--ink); }
    nav ul { columns: 18rem; padding-left: 1.2rem; }
    @media print { .filters, .skip { display: none; } body { font-size: 10pt; } .scroll { overflow: visible; border: 0; }
      h2, figure, tr { break-inside: avoid; } details { display: block; } details::details-content { content-visibility: visible; height: auto; } }
    """

  /// Shows the filters, which are of no use without it, and hides the rows that do not match.
  static let script = """
    (function () {
      var box = document.querySelector('.filters'), rows = document.querySelectorAll('#verdicts tbody tr');
      if (!box) { return; }
      box.hidden = false;
      var selects = box.querySelectorAll('select'), count = document.getElementById('shown');
      function apply() {
        var shown = 0;
        rows.forEach(function (row) {
          var fits = Array.prototype.every.call(selects, function (s) {
            return !s.value || row.getAttribute('data-' + s.name) === s.value;
          });
          row.hidden = !fits;
          if (fits) { shown += 1; }
        });
        count.textContent = shown + ' of ' + rows.length + ' claims';
      }
      selects.forEach(function (s) { s.addEventListener('change', apply); });
      apply();
    })();
    """
}
