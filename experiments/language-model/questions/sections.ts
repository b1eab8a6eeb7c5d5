/** Packages of Debian: to which section of the archive a package belongs, by the line that describes it. */

import { readSource, type Subject } from './subject.ts';

/** Sections by what programs are for, not by their language, and the word that each stands for here. */
const wordOfSection: Readonly<Record<string, string>> = {
  ...{ admin: 'administration', database: 'database', editors: 'editor', electronics: 'electronics', fonts: 'fonts' },
  ...{ games: 'games', graphics: 'graphics', mail: 'mail', math: 'mathematics', net: 'network', science: 'science' },
  ...{ sound: 'sound', text: 'text', video: 'video', web: 'web' },
};

/** So many words at most: a longer text costs more to train on than it teaches. */
const mostWords = 5;

export const sections: Subject = {
  about: `to which of ${Object.keys(wordOfSection).length} sections of Debian a package belongs, by its description`,
  defaultPath: 'packages.txt',
  choices: Object.values(wordOfSection),
  read(path) {
    const known = new Map<string, string>();
    // Packages of one source are described alike: the first stands for them.
    const sources = new Set<string>();
    for (const record of readSource(path, 'apt-cache dumpavail > packages.txt').split('\n\n')) {
      const fields = Object.fromEntries(
        [...record.matchAll(/^([A-Z][\w-]*): (.+)$/gm)].map(([, key, value]) => [key, value]),
      );
      const description = fields['Description-en'] ?? fields.Description;
      const source = (fields.Source ?? fields.Package ?? '').split(' ')[0];
      if (description === undefined || sources.has(source)) continue;
      sources.add(source);
      if (description.split(' ').length > mostWords) continue;
      if (Object.hasOwn(wordOfSection, fields.Section)) known.set(description, wordOfSection[fields.Section]);
    }
    return [...known].map(([question, right]) => ({ question, right }));
  },
};
