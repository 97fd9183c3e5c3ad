// Opens the page in frames of several widths and writes what is wrong with it into #found.
const found = [];
addEventListener("error", (event) => found.push(`error: ${event.message}`));

function luminance(color) {
  const [r, g, b] = color.match(/[\d.]+/g).slice(0, 3).map((part) => {
    const value = Number(part) / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function background(element, view) {
  for (let at = element; at; at = at.parentElement) {
    const color = view.getComputedStyle(at).backgroundColor;
    if (!/rgba\(.*, 0\)|transparent/.test(color)) return color;
  }
  return "rgb(255, 255, 255)";
}

function checkContrast(name, view) {
  for (const element of view.document.body.querySelectorAll("*:not(script):not(svg *)")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!own) continue;
    const [x, y] = [view.getComputedStyle(element).color, background(element, view)].map(luminance);
    const contrast = (Math.max(x, y) + 0.05) / (Math.min(x, y) + 0.05);
    if (contrast < 4.5) found.push(`${name}: contrast ${contrast.toFixed(2)} of ${element.tagName}.${element.className}`);
  }
}

function checkWidth(name, view) {
  const root = view.document.documentElement;
  if (root.scrollWidth > root.clientWidth) found.push(`${name}: scrolls to ${root.scrollWidth}`);
  for (const element of view.document.body.querySelectorAll("*:not(svg *)")) {
    const { right, width } = element.getBoundingClientRect();
    if (width && right > root.clientWidth + 1) found.push(`${name}: ${element.tagName}.${element.className} ends at ${right}`);
  }
}

function checkScript(name, view) {
  const page = view.document;
  const shown = () => [...page.querySelectorAll("tbody tr")].filter((row) => !row.hidden).length;
  const every = shown();
  for (const button of page.querySelectorAll("nav button")) {
    button.click();
    const count = Number(button.textContent.match(/\d+$/)[0]);
    if (shown() !== count) found.push(`${name}: ${button.textContent} shows ${shown()} rows`);
  }
  page.querySelector("nav button").click();
  if (shown() !== every) found.push(`${name}: the filter is not taken back`);
  const head = [...page.querySelectorAll("th button")].find((button) => button.textContent === "predicted");
  const keys = () => [...head.closest("table").tBodies[0].rows].map((row) => parseFloat(row.cells[2].dataset.key));
  for (const sign of [1, -1]) {
    head.click();
    const known = keys().filter((key) => !Number.isNaN(key));
    if (known.length < 2 || known.some((key, i) => i && sign * (key - known[i - 1]) < 0)) found.push(`${name}: unsorted ${keys()}`);
    if (keys().slice(0, known.length).some(Number.isNaN)) found.push(`${name}: rows without a number stand first`);
  }
}

async function check(width) {
  const frame = document.createElement("iframe");
  frame.style.cssText = `width: ${width}px; height: 900px; border: 0`;
  frame.srcdoc = PAGE;
  await new Promise((loaded) => { frame.onload = loaded; document.body.append(frame); });
  const view = frame.contentWindow;
  checkWidth(`${width}, folded`, view);
  checkScript(width, view);
  view.document.querySelectorAll("details").forEach((each) => { each.open = true; });
  checkWidth(`${width}, unfolded`, view);
  checkContrast(width, view);
}

(async () => {
  try {
    for (const width of [390, 768, 1400]) await check(width);
  } catch (error) {
    found.push(String(error));
  }
  document.getElementById("found").textContent = JSON.stringify(found);
})();
