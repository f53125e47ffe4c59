// Opens all that is folded, and leaves every text that has a place of its own as JSON in <pre id="read">: its characters
// as they stand in the page, as a reader meets them on the screen, and how many of ours (that are in no isolated name)
// lie left of the one that they stand behind. Blanks are left out.
(() => {
  const BLOCKS = 'h1,h2,h3,h4,p,td,th,dd,dt,li,summary,svg text';
  document.querySelectorAll('details').forEach(folded => { folded.open = true; });
  const read = [];
  for (const block of document.querySelectorAll(BLOCKS)) {
    const turned = (block.getAttribute('transform') || '').includes('rotate(-90');
    if (turned || block.querySelector(BLOCKS)) continue;
    const walker = document.createTreeWalker(block, NodeFilter.SHOW_TEXT);
    const places = [];
    let last = null, wrong = 0;
    for (let node; (node = walker.nextNode());) {
      const isName = node.parentElement.closest('bdi, tspan, .tokens') !== null;
      for (let index = 0; index < node.data.length; index += 1) {
        if (/\s/.test(node.data[index])) continue;
        const range = document.createRange();
        range.setStart(node, index);
        range.setEnd(node, index + 1);
        const place = range.getBoundingClientRect();
        if (!place.width) continue;
        places.push({ character: node.data[index], left: place.left, line: Math.round(place.bottom / 8) });
        if (isName) continue;
        if (last !== null && Math.abs(place.bottom - last.bottom) < 6 && place.left < last.left) wrong += 1;
        last = place;
      }
    }
    const written = places.map(place => place.character).join('');
    const met = [...places].sort((one, other) => one.line - other.line || one.left - other.left);
    read.push({ tag: block.tagName.toLowerCase(), written, met: met.map(place => place.character).join(''), wrong });
  }
  const result = document.createElement('pre');
  result.id = 'read';
  result.textContent = JSON.stringify(read);
  document.body.replaceChildren(result);
})();
