// For each text that matches a selector below an element: its contrast with what is painted behind it
// (WCAG 2: 4.5 or more is legible for normal text).  Translucent colours and opacity are composed.
(root, selector) => {
  const channels = (text) => {
    const found = text.match(/[\d.]+/g).map(Number);
    return found.length > 3 ? found : [...found.slice(0, 3), 1];
  };
  const over = (top, below) => {
    const alpha = top[3];
    return [0, 1, 2].map((i) => top[i] * alpha + below[i] * (1 - alpha)).concat(1);
  };
  const linear = (value) => (value / 255 <= 0.03928 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4);
  const luminance = (c) => 0.2126 * linear(c[0]) + 0.7152 * linear(c[1]) + 0.0722 * linear(c[2]);
  const painted = (element, colour) => {
    // From the page inwards, every ancestor paints its background; what is below a faded one is faded too.
    const line = [];
    for (let one = element; one; one = one.parentElement) line.unshift(one);
    let ground = [255, 255, 255, 1];
    let faded = 1;
    for (const one of line) {
      const style = getComputedStyle(one);
      faded *= Number(style.opacity);
      const own = channels(style.backgroundColor);
      ground = over([...own.slice(0, 3), own[3] * faded], ground);
    }
    return [over([...colour.slice(0, 3), colour[3] * faded], ground), ground];
  };
  return [...root.querySelectorAll(selector)]
    .filter((one) => one.offsetParent && [...one.childNodes].some((n) => n.nodeType === 3 && n.data.trim()))
    .map((one) => {
      const [front, back] = painted(one, channels(getComputedStyle(one).color));
      const [light, dark] = [luminance(front), luminance(back)].sort((a, b) => b - a);
      return { text: one.textContent.trim().slice(0, 40), contrast: (light + 0.05) / (dark + 0.05) };
    });
}
