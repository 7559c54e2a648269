// Makes elements. What a model or a person wrote only ever becomes text here, never markup.

export function el(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (key in made && key !== "list") made[key] = value;
    else made.setAttribute(key, value === true ? "" : String(value));
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

export function usd(amount) {
  if (amount === null || amount === undefined) return "no price";
  if (amount === 0 || amount >= 1) return `$${amount.toFixed(2)}`;
  return `$${amount.toFixed(amount >= 0.01 ? 4 : 6)}`;
}

export function milliseconds(value) {
  if (value === null || value === undefined) return "–";
  return value < 10_000 ? `${Math.round(value)} ms` : `${(value / 1000).toFixed(1)} s`;
}

export function bytes(count) {
  return count < 1024 * 1024 ? `${Math.ceil(count / 1024)} KB` : `${(count / 1024 / 1024).toFixed(1)} MB`;
}

// A number as people read it, without the noise of binary fractions.
export function plain(number) {
  return Number.isInteger(number) ? number.toLocaleString("en") : String(Number(number.toFixed(3)));
}
