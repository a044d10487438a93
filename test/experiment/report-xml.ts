// A strict reader of XML, for what must be well-formed: tags that match, attributes that are quoted and unlike, and no bare "<" or "&".

export interface XmlElement {
  readonly name: string;
  readonly attributes: ReadonlyMap<string, string>;
  readonly children: XmlElement[];
  /** Of the element and all in it. */
  text: string;
}

const reference = /&(?:(amp|lt|gt|quot|apos)|#(\d+));/g;
const named: Record<string, string> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'" };

export function parseXml(source: string): XmlElement {
  const document: XmlElement = { name: "#document", attributes: new Map(), children: [], text: "" };
  const open = [document];
  const tags = /<!DOCTYPE html>|<(\/?)([A-Za-z][\w:-]*)((?:\s+[\w:-]+="[^"<]*")*)\s*(\/?)>/g;
  let end = 0;
  for (const match of source.matchAll(tags)) {
    const style = open.at(-1)!.name === "style";
    addText(open, source.slice(end, match.index), style);
    end = match.index + match[0].length;
    const [, closing, name, attributes, empty] = match;
    if (name === undefined) continue;
    if (closing) {
      const closed = open.pop()!;
      if (closed.name !== name) throw new Error(`</${name}> closes <${closed.name}> at ${match.index}`);
    } else {
      const element: XmlElement = { name, attributes: attributesOf(attributes!), children: [], text: "" };
      open.at(-1)!.children.push(element);
      if (!empty) open.push(element);
    }
  }
  addText(open, source.slice(end), false);
  if (open.length !== 1 || document.children.length !== 1)
    throw new Error(`open at the end: ${open.map((element) => element.name).join(" ")}`);
  return document.children[0]!;
}

/** All elements in it, itself included, depth first. */
export function elements(element: XmlElement): XmlElement[] {
  return [element, ...element.children.flatMap(elements)];
}

export function byClass(element: XmlElement, name: string): XmlElement[] {
  return elements(element).filter((one) => one.attributes.get("class")?.split(" ").includes(name));
}

function addText(open: XmlElement[], text: string, style: boolean): void {
  if (!style && /[<]|&(?!(amp|lt|gt|quot|apos|#\d+);)/.test(text)) throw new Error(`not escaped: ${text.slice(0, 200)}`);
  for (const element of open) element.text += decode(text);
}

function attributesOf(text: string): Map<string, string> {
  const attributes = new Map<string, string>();
  for (const [, name, value] of text.matchAll(/([\w:-]+)="([^"]*)"/g)) {
    if (attributes.has(name!)) throw new Error(`twice: ${name}`);
    if (/&(?!(amp|lt|gt|quot|apos|#\d+);)/.test(value!)) throw new Error(`not escaped: ${value}`);
    attributes.set(name!, decode(value!));
  }
  return attributes;
}

function decode(text: string): string {
  return text.replace(reference, (_, name?: string, code?: string) => (name ? named[name]! : String.fromCodePoint(Number(code))));
}
