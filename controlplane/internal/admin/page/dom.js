// Elements. Text is always set as text: nothing that the API says is read as HTML.

const svgNames = new Set(["svg", "polyline", "polygon"]);

// el makes an element: attributes by name ("class", "aria-label", on... for listeners), then children, which are elements or text.
export function el(name, attributes = {}, ...children) {
  const node = svgNames.has(name)
    ? document.createElementNS("http://www.w3.org/2000/svg", name)
    : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (value !== null && value !== false) node.setAttribute(key, value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

// say sets an element's text if it is another.
export function say(node, text) {
  text = String(text);
  if (node.textContent !== text) node.textContent = text;
}

// mark sets an attribute if it is another; null removes it.
export function mark(node, name, value) {
  if (value === null) node.removeAttribute(name);
  else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
}

// show shows or hides an element.
export function show(node, visible) {
  if (node.hidden === visible) node.hidden = !visible;
}

// fill replaces an element's children, but only when what they are made of has changed.
export function fill(node, content, make) {
  const key = JSON.stringify(content);
  if (node.filledWith === key) return;
  node.filledWith = key;
  node.replaceChildren(...make(content));
}

// keyed makes parent's children those of list, in its order: make(item) once for each key, update(child, item) always. Children
// that stay are not moved, so that what is selected or scrolled stays.
export function keyed(parent, made, list, keyOf, make, update) {
  const gone = new Set(made.keys());
  let before = parent.firstElementChild;
  for (const item of list) {
    const key = keyOf(item);
    gone.delete(key);
    let child = made.get(key);
    if (!child) made.set(key, (child = make(item)));
    if (child.node === before) before = before.nextElementSibling;
    else parent.insertBefore(child.node, before);
    update(child, item);
  }
  for (const key of gone) {
    made.get(key).node.remove();
    made.delete(key);
  }
}
