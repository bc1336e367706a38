#include "classification/lexicon.h"

#include <unordered_set>

namespace penstock::classification {
namespace {

using Words = std::unordered_set<std::string_view>;

Words split(std::string_view text, char mark) {
  Words words;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(mark), text.size());
    if (end > 0) words.insert(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return words;
}

// Frequent given names of many countries, without those that are mostly read as other words.
constexpr std::string_view given_names =
    "aaron abigail abdul abdullah adam adriana adrian adrien agata agnes agnieszka ahmad ahmed "
    "aisha "
    "ajay akira alain alan alba albert alberto alejandra alejandro aleksandr aleksandra alessandra "
    "alessandro alessia alex alexander alexandra alexandre alexis alfonso alfred alfredo ali alice "
    "alicia alina alison allison alma amanda amber amelia amelie amina amir amit amy ana anastasia "
    "anders andrea andreas andrei andres andrew andrzej angela angelica angelika angelo anika anil "
    "anita anja anjali ann anna annabel anne annette annika anthony antoine anton antonella "
    "antonia "
    "antonio anthea antje april ariana arjun armin arnaud arthur arturo arun ashley ashok astrid "
    "audrey aurora ava axel ayesha barbara barry bartosz beata beatrice beatriz ben benedikt "
    "benjamin benoit bernard bernd bernhard beth bettina bianca bill birgit bjorn bob bradley "
    "brandon "
    "brenda brent brian brigitte bruno bryan camila camille carl carla carlo carlos carmen carol "
    "carolin carolina caroline carolyn catalina caterina catherine cathy cecilia cedric celine "
    "cesar "
    "chandra charles charlie charlotte chiara chloe chris christa christian christiane christina "
    "christine christoph christophe christopher claire clara claudia claudio claus clemens colin "
    "connor corinna cristina crystal curtis cynthia dagmar daniel daniela daniele danielle darren "
    "dave david davide dawn deborah debra deepak denise dennis derek detlef diana diane didier "
    "diego "
    "dieter dietmar dimitri dirk dmitri dmitry dolores dominic dominik dominique donald donna "
    "doris "
    "dorothea dorothy douglas dylan eduardo edward edwin eileen elaine elena eleonora eli elias "
    "elif "
    "elisa elisabeth elise eliza elizabeth elke ella ellen ellie elsa emanuele emil emilia emilie "
    "emily emma emmanuel enrico enrique eric erica erich erik erika erin ernst esther etienne "
    "eugene "
    "eva evelyn ewa fabian fabien fabio fatima federica federico felicia felix fernanda fernando "
    "filip filippo fiona florence florian frances francesca francesco francine francisca francisco "
    "franck francois francoise frank franz fred frederic frederick frederik friedrich gabriel "
    "gabriela gabriele gabriella gareth gary gavin gemma genevieve georg george gerald gerard gerd "
    "gerhard gertrud giacomo gianluca gilles giorgio giovanna giovanni giulia giuseppe gloria "
    "gonzalo "
    "grace graham greg gregor gregory greta grzegorz guido guillaume guillermo gunter gunther "
    "gustav "
    "gustavo hannah hanna hannes hans harald harold harriet harry hartmut hassan heather hector "
    "heidi "
    "heike heinrich heinz helen helena helene helga helmut hendrik henri henrik henry herbert "
    "hermann hilary hiroshi holger horst howard hubert hugo ian ibrahim ida ignacio igor ilaria "
    "ingrid ines inga inge ingo irena irene irina iris irma isaac isabel isabella isabelle isla "
    "ivan "
    "jack jacob jacqueline jacques jakob jakub jaime james jamie jan jana jane janet janice janine "
    "jasmin jason javier jean jeanne jeff jeffrey jenna jennifer jenny jens jeremy jerome jerry "
    "jessica jesus jill jim joachim joan joanna joao joaquin jochen jodie joe joel joerg "
    "johan johann johanna johannes john johnny jonas jonathan jorg jorge jose josef joseph "
    "josephine "
    "joshua joyce juan juana juanita judith judy julia julian juliana julie julien julio jurgen "
    "justin jutta kai kamil karen karim karin karina karl karolina katarina katarzyna kate "
    "katharina "
    "katherine kathleen kathryn kathy katie katja katrin kayla keith kelly kenji kenneth kerry "
    "kerstin "
    "kevin khalid kim kimberly klara klaus konrad kristen kristin kristina krzysztof kumar kurt "
    "kyle "
    "lakshmi lara lars laura lauren laurence laurent lea leah lena leo leon leonard leonardo "
    "leonie "
    "leslie leticia liam lina linda lisa liv lorena lorenzo lori lothar louis louise luca lucas "
    "lucia "
    "luciana lucie lucy ludwig luigi luis luisa lukas lukasz lydia lynn maciej madeleine magdalena "
    "maja malcolm malgorzata manfred manon manuel manuela marc marcel marcela marcin marco marcos "
    "marcus margaret margarita margot maria marian mariana marianne marie marina mario marion "
    "marisa "
    "marius mark markus marlene marta martha martin martina mary maryam massimo mateo mateusz "
    "mathias "
    "mathieu mathilde matteo matthew matthias matthieu maureen maurice mauricio max maximilian "
    "maya "
    "megan mehmet melanie melissa mercedes mia micha michael michaela michal michel michele "
    "micheline "
    "michelle miguel mikael mike mikhail milena milos miriam mohamed mohammad mohammed mohan "
    "moritz "
    "monica monika monique muhammad mustafa nadia nadine nancy naomi natalia natalie nathalie "
    "nathan "
    "neha neil nele nicholas nick nico nicola nicolas nicole niklas nikola nikolai nils nina noah "
    "noel noemi nora norbert norma octavio olaf oleg olga olivia oliver olivier omar oscar oskar "
    "osman otto pablo pamela paola paolo pascal patricia patrick patrik paul paula pauline paulo "
    "pavel pawel pedro peggy penelope peter petra phil philip philipp philippe phillip pia pierre "
    "pieter pilar piotr priya rachel rafael rahul rainer raj rajesh ralf ralph ramesh ramon raquel "
    "raul ravi raymond rebecca regina reiner renate rene ricardo riccardo richard rita robert "
    "roberta roberto robin rocio rodrigo roger roland rolf romain roman ronald rosa rosemary rosie "
    "ruben rudolf ruth ryan sabine sabrina salvatore sally sam samantha samira samuel sandra "
    "sandrine "
    "sanjay sara sarah sascha satoshi scott sean sebastian sebastien serge sergei sergey sergio "
    "shane "
    "shannon sharon shaun sheila shirley silke silvia simon simona simone siobhan sofia sofie "
    "sonia "
    "sonja sophia sophie stacey stefan stefania stefanie steffen stella stephan stephane stephanie "
    "stephen steve steven stuart sue sunil sunita suresh susan susana susanne suzanne svenja sven "
    "sylvia sylvie tamara tania tanja tara tatiana ted teresa terry thea theo theodor theresa "
    "thierry "
    "thomas thorsten tiffany till tim timo timothy tina tobias todd tom tomas tomasz tony torsten "
    "tracy travis trevor tyler udo ulrich ulrike ursula ute uwe valentina valerie vanessa vera "
    "veronica veronika veronique vicente victor victoria vijay vikram vincent vincenzo virginia "
    "virginie viviana vladimir volker walter wayne wei wendy werner wilhelm wilfried willem "
    "william "
    "wolfgang wojciech xavier yasmin yolanda youssef yuki yusuf yves yvonne zachary zainab zoe "
    "zofia";

constexpr std::string_view street_words =
    "street st avenue ave road rd boulevard blvd lane ln drive dr court ct square sq terrace "
    "highway "
    "hwy parkway pkwy circle cir trail way place pl close crescent mews grove gardens alley apt "
    "suite "
    "rue chemin allee quai impasse calle avenida avda plaza paseo carrer camino via viale piazza "
    "corso vicolo strasse str weg gasse platz allee ring damm ufer straat laan plein gracht kade "
    "gatan vagen ulica ul aleja rua travessa praca alameda cove loop pike turnpike expressway row "
    "motorway";

constexpr std::string_view company_words =
    "inc llc ltd limited gmbh ag plc corp corporation co company sa sarl srl spa bv nv ab oy kg "
    "ohg "
    "group holding holdings partners associates bank university institute airlines airport sons "
    "und "
    "and hotel school hospital city county county's department ministry foundation";

constexpr std::string_view ethnicities =
    "white|black|asian|hispanic|latino|latina|latinx|caucasian|african american|black or african "
    "american|native american|american indian|american indian or alaska native|alaska "
    "native|pacific "
    "islander|native hawaiian|native hawaiian or other pacific islander|hispanic or latino|not "
    "hispanic or latino|non-hispanic|white british|white irish|black caribbean|black "
    "african|indian|"
    "pakistani|bangladeshi|chinese|arab|roma|mixed|multiracial|two or more races|middle "
    "eastern|white "
    "non-hispanic|black non-hispanic|white and asian|white and black caribbean|maori|han|kurdish|"
    "aboriginal|inuit|metis|first nations|south asian|east asian|southeast asian|jewish|"
    "asian-pac-islander|amer-indian-eskimo|other white|gypsy or irish traveller|latin american|"
    "african|any other ethnic group";

constexpr std::string_view religions =
    "christian|christianity|catholic|roman "
    "catholic|protestant|orthodox|muslim|islam|jewish|judaism|"
    "hindu|hinduism|buddhist|buddhism|sikh|sikhism|atheist|agnostic|jain|jainism|mormon|lutheran|"
    "baptist|methodist|anglican|evangelical|presbyterian|no religion|none|church of england|sunni|"
    "shia|bahai|shinto|taoist|pagan|jehovah's witness|evangelisch|katholisch|romisch-katholisch|"
    "muslimisch|konfessionslos|catholique|protestante|musulman|catolico|catolica|cattolico|"
    "evangelico|islamisch|judisch|judio|hinduista|ateo";

constexpr std::string_view genders =
    "m|f|d|x|w|h|male|female|man|woman|men|women|boy|girl|non-binary|nonbinary|non binary|other|"
    "diverse|divers|unknown|mann|frau|mannlich|weiblich|homme|femme|masculin|feminin|hombre|mujer|"
    "masculino|femenino|uomo|donna|maschio|femmina|transgender|prefer not to say|genderqueer|"
    "agender|trans|man vrouw|vrouw|prefer not to "
    "answer|undisclosed|u|nb|mr|ms|mrs|herr|genderfluid|"
    "kvinna|kobieta|mezczyzna|0|1|2|9";

constexpr std::string_view marital_statuses =
    "single|married|divorced|widowed|separated|never married|never-married|married-civ-spouse|"
    "married-spouse-absent|married-af-spouse|civil partnership|domestic partnership|in a "
    "relationship|cohabiting|registered partnership|ledig|verheiratet|geschieden|verwitwet|"
    "celibataire|marie|mariee|divorce|divorcee|veuf|veuve|pacse|soltero|soltera|casado|casada|"
    "divorciado|divorciada|viudo|viuda|celibe|nubile|sposato|sposata|divorziato|annulled|widow|"
    "widower|engaged|s|m|d|w";

bool holds(const Words& words, std::string_view word) { return words.contains(word); }

}  // namespace

bool is_given_name(std::string_view word) {
  static const Words words = split(given_names, ' ');
  return holds(words, word);
}
bool is_street_word(std::string_view word) {
  static const Words words = split(street_words, ' ');
  return holds(words, word);
}
bool is_company_word(std::string_view word) {
  static const Words words = split(company_words, ' ');
  return holds(words, word);
}
bool is_ethnicity(std::string_view text) {
  static const Words words = split(ethnicities, '|');
  return holds(words, text);
}
bool is_religion(std::string_view text) {
  static const Words words = split(religions, '|');
  return holds(words, text);
}
bool is_gender(std::string_view text) {
  static const Words words = split(genders, '|');
  return holds(words, text);
}
bool is_marital_status(std::string_view text) {
  static const Words words = split(marital_statuses, '|');
  return holds(words, text);
}

}  // namespace penstock::classification
